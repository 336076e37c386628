"""The picture of loss against bits."""

from xml.sax.saxutils import escape

from netlab_parts.picture import GRID, INK, Axis, text, ticks

WIDTH, HEIGHT = 860, 500
LEFT, RIGHT, TOP, BOTTOM = 80, 40, 90, 60
LETTER = 7  # width of a label's, about
OURS, PEERS, REFUSED = "#1d4ed8", "#a16207", "#b91c1c"
LABELS = {
    "dense": "dense, servers", "int4": "int4, servers", "default": "default", "every_step_10": "10 % every step",
    "every_step_1": "1 % every step", "local4_int4": "int4 every 4", "local16": "int4 every 16",
    "local16_nesterov": "int4 every 16, Nesterov",
    "overlapped_1": "overlap 1", "overlapped_4": "overlap 4", "adam_on_servers_1": "1 %, Adam on servers",
    "ddp_fp16": "DDP, fp16 hook", "ddp_powersgd4": "DDP, PowerSGD 4",
}


def color_of(setting):
    return PEERS if setting.startswith("ddp_") else REFUSED if setting.startswith("adam_on") else OURS


def box_of(at_x, at_y, label, anchor):
    """What a label covers: left, top, right, bottom. An empty one: a dot."""
    width = LETTER * len(label) if label else 12
    left = at_x - {"start": 0, "middle": width / 2, "end": width}[anchor]
    return left, at_y - 11, left + width, at_y + 3


def place_of(at_x, at_y, label, taken):
    """Beside a dot, or as near as there is room: x, y, anchor."""
    places = [(at_x + side * 10, at_y + 4 + shift, "start" if side > 0 else "end")
              for shift in (0, -13, 13, -26, 26, -39, 39) for side in (1, -1)]

    def is_free(place):
        left, top, right, bottom = box_of(*place[:2], label, place[2])
        return left >= LEFT and right <= WIDTH and all(
            right <= other[0] or left >= other[2] or bottom <= other[1] or top >= other[3] for other in taken)

    return next(filter(is_free, places), places[0])


def loss_against_bits(points, baseline, workers, steps):
    """`points`: (setting, bits both ways, loss); those without bits are left out. Returns the SVG document."""
    points = [(setting, bits, loss) for setting, bits, loss in points if setting != "one_process" and bits > 0]
    x = Axis(min(bits for _, bits, _ in points) * 0.7, max(bits for _, bits, _ in points) * 1.8, LEFT, WIDTH - RIGHT)
    gaps = [max(loss - baseline, 0.003) for _, _, loss in points]
    y = Axis(min(gaps) * 0.7, max(gaps) * 1.4, HEIGHT - BOTTOM, TOP)
    title = "A small GPT: what fewer bits cost in loss"
    body = [f"<title>{escape(title)}</title>", f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
            text(30, 36, title, 17, INK, weight="bold"),
            text(30, 58, f"0.47M parameters, {workers} workers, {steps} steps; nats above dense AdamW in one process "
                 f"({baseline:.3f}); tests/bench/convergence", 13)]
    for value in ticks(min(gaps) * 0.7, max(gaps) * 1.4):
        body.append(f'<line x1="{LEFT}" y1="{y.at(value):.1f}" x2="{WIDTH - RIGHT}" y2="{y.at(value):.1f}" '
                    f'stroke="{GRID}"/>')
        body.append(text(LEFT - 8, y.at(value) + 4, f"{value:g}", anchor="end"))
    for value in ticks(min(bits for _, bits, _ in points) * 0.7, max(bits for _, bits, _ in points) * 1.8):
        body.append(text(x.at(value), HEIGHT - BOTTOM + 22, f"{value:g}", anchor="middle"))
    body.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 14, "bits up and down, for each parameter and step",
                     anchor="middle"))
    dots = [(x.at(bits), y.at(gap), setting) for (setting, bits, _), gap in zip(points, gaps)]
    taken = [box_of(at_x, at_y + 4, "", "middle") for at_x, at_y, _ in dots]
    for at_x, at_y, setting in sorted(dots, key=lambda dot: -dot[1]):
        color, label = color_of(setting), LABELS.get(setting, setting)
        body.append(f'<circle cx="{at_x:.1f}" cy="{at_y:.1f}" r="5" fill="{color}"/>')
        label_x, label_y, anchor = place_of(at_x, at_y, label, taken)
        taken.append(box_of(label_x, label_y, label, anchor))
        body.append(text(label_x, label_y, label, 12, color, anchor=anchor))
    return (f'<?xml version="1.0" encoding="UTF-8"?>\n<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" '
            f'height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" '
            "font-family=\"'DejaVu Sans', 'Segoe UI', Helvetica, Arial, sans-serif\">\n" + "\n".join(body) +
            "\n</svg>\n")
