"""One panel of time series: header, axes, lines and legend, in Grafana's pixels."""

import datetime
import math
import re
from xml.sax.saxutils import escape

from . import axes, units

HEADER, PADDING, X_AXIS, LEGEND_ROW = 32, 8, 22, 20
LEGEND_PART = 0.35  # of the panel's height at most; Grafana scrolls what is more
# Grafana's classic palette for dark backgrounds.
COLORS = ["#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#5794f2", "#b877d9", "#705da0", "#37872d", "#fade2a",
          "#447ebc", "#c15c17", "#890f02", "#0a437c", "#6d1f62", "#584477"]
NARROW, WIDE = set("ijltfrI|.,:;'()[]/- "), set("mwMW%@")


def text_width(text, size=12):
    """An estimate, rather too large, since the browser's font is not known here."""
    return size * sum(0.36 if c in NARROW else 0.9 if c in WIDE else 0.7 if c.isupper() else 0.58 for c in text)


def legend_of(target, labels):
    """The name of a series: {{label}} is that label's value."""
    return re.sub(r"{{\s*(\w+)\s*}}", lambda match: labels.get(match[1], ""), target["legendFormat"])


def _segments(points, step):
    """Runs of values without a gap: Grafana draws no line over a missing value."""
    run = []
    for time, value in points:
        if not math.isfinite(value) or (run and time - run[-1][0] > 1.5 * step):
            if run:
                yield run
            run = []
        if math.isfinite(value):
            run.append((time, value))
    if run:
        yield run


def _path(points):
    """Relative moves of tenths of pixels; a point on the straight line of its neighbours is left out."""
    points = [(round(10 * x), round(10 * y)) for x, y in points]
    kept = [p for i, p in enumerate(points) if i in (0, len(points) - 1) or
            (p[0] - points[i - 1][0]) * (points[i + 1][1] - p[1]) != (points[i + 1][0] - p[0]) * (p[1] - points[i - 1][1])]
    moves = [(b[0] - a[0], b[1] - a[1]) for a, b in zip(kept, kept[1:])]
    return f"M{kept[0][0] / 10:g} {kept[0][1] / 10:g}l" + " ".join(f"{x / 10:g} {y / 10:g}" for x, y in moves)


def _legend(names, width, height):
    """Positions of the names in rows: [(x, row, name)], and the number of rows."""
    places, x, row = [], 0, 0
    for name in names:
        item = 20 + text_width(name) + 12
        if x and x + item - 12 > width:
            x, row = 0, row + 1
        places.append((x, row, name))
        x += item
    rows = min(row + 1, int(height * LEGEND_PART / LEGEND_ROW))
    return [place for place in places if place[1] < rows], rows


def _described(x, y):
    """The icon behind a title that marks a description to be shown under the pointer."""
    return (f'<circle class="mark" cx="{x:.1f}" cy="{y}" r="5.5"/>'
            f'<path class="mark" d="M{x:.1f} {y - 3}v1.4M{x:.1f} {y - 0.5:g}v3.6"/>')


def draw(panel, series, width, height, start, end, step):
    """`series`: [(name, [(seconds, value)])] in the order of the legend. Returns SVG for a panel whose corner is at 0, 0."""
    out = [f'<title>{escape(panel["description"])}</title><rect class="panel" width="{width:g}" height="{height:g}" rx="2"/>',
           f'<text class="title" x="{PADDING}" y="21">{escape(panel["title"])}</text>',
           _described(PADDING + text_width(panel["title"], 15) + 8, 16)]
    options = panel["fieldConfig"]["defaults"]
    unit = options["unit"]
    values = [value for _, points in series for _, value in points if math.isfinite(value)]
    if not values:
        out.append(f'<text class="quiet" x="{width / 2:g}" y="{height / 2:g}" text-anchor="middle">No data</text>')
        return "".join(out)

    places, rows = _legend([name for name, _ in series], width - 2 * PADDING, height)
    top, bottom = HEADER + 8, height - PADDING - rows * LEGEND_ROW - X_AXIS
    low, high = axes.value_range(min(values), max(values))
    low, high = options.get("min", low), options.get("max", high)
    tick_step, tick_values = axes.ticks(low, high, bottom - top, 30,
                                        axes.BINARY_STEPS if unit == "bytes" else axes.NUMBER_STEPS)
    labels = [units.text_of(value, unit, tick_step) for value in tick_values]
    left, right = PADDING + max(map(text_width, labels)) + 8, width - PADDING - 6

    def at(point):
        return (left + (point[0] - start) / (end - start) * (right - left),
                bottom - (point[1] - low) / (high - low) * (bottom - top))

    grid = []
    for value, label in zip(tick_values, labels):
        y = at((start, value))[1]
        grid.append(f"M{left:.1f} {y:.1f}H{right:g}")
        out.append(f'<text class="axis" x="{left - 8:.1f}" y="{y + 4:.1f}" text-anchor="end">{escape(label)}</text>')
    time_step, times = axes.ticks(start, end, right - left, text_width("00:00:00") + 18, axes.TIME_STEPS)
    for time in times:
        x = at((time, low))[0]
        grid.append(f"M{x:.1f} {top}V{bottom:g}")
        label = datetime.datetime.fromtimestamp(time).strftime("%H:%M" if time_step >= 60 else "%H:%M:%S")
        half = text_width(label) / 2
        if x - half > 0 and x + half < width:
            out.append(f'<text class="axis" x="{x:.1f}" y="{bottom + 17:g}" text-anchor="middle">{label}</text>')
    out.append(f'<path class="grid" d="{"".join(grid)}"/>')

    for i, (_, points) in enumerate(series):
        color = COLORS[i % len(COLORS)]
        lines = ""
        for run in _segments(points, step):
            if len(run) > 1:
                lines += _path([at(point) for point in run])
            else:
                x, y = at(run[0])
                out.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2" fill="{color}"/>')
        if lines:
            out.append(f'<path class="line" stroke="{color}" d="{lines}"/>')
    for i, (x, row, name) in enumerate(places):
        y = height - PADDING - (rows - row) * LEGEND_ROW + 14
        out.append(f'<rect x="{PADDING + x:.1f}" y="{y - 6:g}" width="14" height="4" rx="2" fill="{COLORS[i % len(COLORS)]}"/>'
                   f'<text class="legend" x="{PADDING + x + 20:.1f}" y="{y:g}">{escape(name)}</text>')
    return "".join(out)
