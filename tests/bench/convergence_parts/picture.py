"""The picture of loss against bits."""

from xml.sax.saxutils import escape

from netlab_parts.picture import GRID, INK, Axis, text, ticks

WIDTH, HEIGHT = 860, 500
LEFT, RIGHT, TOP, BOTTOM = 80, 40, 90, 60
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
    taken = []
    for (setting, bits, _), gap in sorted(zip(points, gaps), key=lambda point: point[1]):
        at_x, at_y = x.at(bits), y.at(gap)
        body.append(f'<circle cx="{at_x:.1f}" cy="{at_y:.1f}" r="5" fill="{color_of(setting)}"/>')
        left = at_x > WIDTH - 200
        label_y = at_y + 4
        while any(abs(label_y - other_y) < 14 and abs(at_x - other_x) < 170 for other_x, other_y in taken):
            label_y -= 14
        taken.append((at_x, label_y))
        body.append(text(at_x + (-10 if left else 10), label_y, LABELS.get(setting, setting), 12, color_of(setting),
                         anchor="end" if left else "start"))
    return (f'<?xml version="1.0" encoding="UTF-8"?>\n<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" '
            f'height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" '
            "font-family=\"'DejaVu Sans', 'Segoe UI', Helvetica, Arial, sans-serif\">\n" + "\n".join(body) +
            "\n</svg>\n")
