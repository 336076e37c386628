"""The picture of netlab's curves: step time against link rate, both logarithmic."""

import math
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 860, 500
LEFT, RIGHT, TOP, BOTTOM = 80, 250, 90, 60
COLORS = ["#1d4ed8", "#60a5fa", "#c2410c", "#a16207", "#15803d"]
INK, GREY, GRID = "#0f172a", "#475569", "#e2e8f0"


def rate_name(bits):
    return f"{bits / 1e9:g} Gbit/s" if bits >= 1e9 else f"{bits / 1e6:g} Mbit/s"


def time_name(seconds):
    return f"{seconds:g} s" if seconds >= 1 else f"{1e3 * seconds:g} ms"


class Axis:
    def __init__(self, least, most, begin, end):
        self.low, self.high = math.log10(least), math.log10(most)
        if self.high - self.low < 1e-9:
            self.low, self.high = self.low - 0.5, self.high + 0.5
        self.begin, self.end = begin, end

    def at(self, value):
        part = (math.log10(value) - self.low) / (self.high - self.low)
        return self.begin + part * (self.end - self.begin)


def ticks(least, most):
    """1, 2 and 5 times powers of ten within the range."""
    for power in range(math.floor(math.log10(least)), math.ceil(math.log10(most)) + 1):
        for digit in (1, 2, 5):
            if least * 0.999 <= digit * 10.0 ** power <= most * 1.001:
                yield digit * 10.0 ** power


def text(x, y, content, size=12, color=GREY, anchor="start", weight="normal"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{color}" text-anchor="{anchor}" '
            f'font-weight="{weight}">{escape(content)}</text>')


def step_times(options, curves):
    """`curves`: name -> [(bits a second, seconds)]. Returns the SVG document."""
    points = [point for curve in curves.values() for point in curve]
    compute = options.compute_ms / 1e3
    rates = sorted({rate for rate, _ in points})
    most = max(seconds for _, seconds in points) * 1.2
    least = compute * 0.8
    x = Axis(rates[0], rates[-1], LEFT + 20, WIDTH - RIGHT)
    y = Axis(least, most, HEIGHT - BOTTOM, TOP)
    title = (f"{options.workers} workers, ResNet-50's {25.6:g}M parameters, {options.compute_ms:g} ms of compute: "
             "step time")
    body = [f'<title>{escape(title)}</title>', f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
            text(30, 36, title, 17, INK, weight="bold"),
            text(30, 58, f"a server beside each worker, ratio {options.ratio:g} both ways, {options.values} values; "
                 "tests/bench/netlab", 13)]
    for value in ticks(least, most):
        body.append(f'<line x1="{LEFT}" y1="{y.at(value):.1f}" x2="{WIDTH - RIGHT + 20}" y2="{y.at(value):.1f}" '
                    f'stroke="{GRID}"/>')
        body.append(text(LEFT - 8, y.at(value) + 4, time_name(value), anchor="end"))
    for rate in rates:
        body.append(text(x.at(rate), HEIGHT - BOTTOM + 22, rate_name(rate), anchor="middle"))
    body.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 14, "rate of each host's link", anchor="middle"))
    body.append(f'<line x1="{LEFT}" y1="{y.at(compute):.1f}" x2="{WIDTH - RIGHT + 20}" y2="{y.at(compute):.1f}" '
                f'stroke="{INK}" stroke-dasharray="5 4"/>')
    body.append(text(LEFT + 6, y.at(compute) + 15, "compute alone", color=INK))
    labels = []  # (wanted y, name, colour)
    for color, (name, curve) in zip(COLORS, curves.items()):
        curve = sorted(curve)
        line = " ".join(f"{x.at(rate):.1f},{y.at(seconds):.1f}" for rate, seconds in curve)
        body.append(f'<polyline points="{line}" fill="none" stroke="{color}" stroke-width="2.5"/>')
        body += [f'<circle cx="{x.at(rate):.1f}" cy="{y.at(seconds):.1f}" r="4" fill="{color}"/>'
                 for rate, seconds in curve]
        labels.append((y.at(curve[-1][1]) + 4, name, color))
    below = -math.inf
    for wanted, name, color in sorted(labels):
        below = max(wanted, below + 17)
        body.append(text(WIDTH - RIGHT + 28, below, name, 13, color, weight="bold"))
    return (f'<?xml version="1.0" encoding="UTF-8"?>\n<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" '
            f'height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" '
            "font-family=\"'DejaVu Sans', 'Segoe UI', Helvetica, Arial, sans-serif\">\n" + "\n".join(body) +
            "\n</svg>\n")
