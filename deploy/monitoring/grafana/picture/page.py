"""The dashboard's page: Grafana's grid of 24 columns, rows' titles, and panels in their places."""

import datetime
from xml.sax.saxutils import escape

from . import panel as panels

COLUMNS, CELL, MARGIN = 24, 30, 8  # pixels
HEAD = 56
# Readers see it scaled down in a page, so it has a narrow window's layout, magnified.
WIDTH, MAGNIFIED = 1200, 4 / 3
STYLE = """text{font-family:Inter,Helvetica,Arial,sans-serif;font-size:12px;fill:#ccccdc}
.page{fill:#111217}.panel{fill:#181b1f;stroke:#2c2f35}.title{font-size:14px;font-weight:500}.row{font-size:15px;font-weight:500}
.quiet,.axis{fill:#9d9fab}.axis{font-size:11.5px}.grid{stroke:#282b31;fill:none}
.line{fill:none;stroke-width:1.3;stroke-linejoin:round}.mark{fill:none;stroke:#9d9fab;stroke-width:1.2}
.box{fill:#181b1f;stroke:#3d4047}"""


def place(grid, width):
    """(x, y, width, height) in pixels of a panel's gridPos, on a grid of that width."""
    column = (width - MARGIN * (COLUMNS - 1)) / COLUMNS
    return (grid["x"] * (column + MARGIN), grid["y"] * (CELL + MARGIN), grid["w"] * (column + MARGIN) - MARGIN,
            grid["h"] * (CELL + MARGIN) - MARGIN)


def _head(dashboard, start, end):
    """Name, variables and time range."""
    out = [f'<text class="row" x="{MARGIN * 2}" y="35">{escape(dashboard["title"])}</text>']
    x = 180
    for variable in dashboard["templating"]["list"]:
        value = variable.get("current", {}).get("text") or "Prometheus"
        text = f"{variable['name']}: {value}"
        out.append(f'<rect class="box" x="{x}" y="16" width="{panels.text_width(text) + 20:.0f}" height="28" rx="2"/>'
                   f'<text x="{x + 10}" y="34">{escape(text)}</text>')
        x += round(panels.text_width(text)) + 30
    span = [datetime.datetime.fromtimestamp(t).strftime("%Y-%m-%d %H:%M:%S") for t in (start, end)]
    out.append(f'<text class="quiet" x="{WIDTH - 2 * MARGIN}" y="34" text-anchor="end">{span[0]} to {span[1]}</text>')
    return "".join(out)


def draw(dashboard, series, start, end, step):
    """`series`: a panel's id -> the series for panel.draw(). Returns the SVG document."""
    width = WIDTH - 2 * MARGIN
    boxes = [(panel, place(panel["gridPos"], width)) for panel in dashboard["panels"]]
    height = HEAD + max(y + h for _, (_, y, _, h) in boxes) + MARGIN
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH * MAGNIFIED:.0f}" height="{height * MAGNIFIED:.0f}" '
           f'viewBox="0 0 {WIDTH} {height:g}"><title>{escape(dashboard["title"])}</title><style>{STYLE}</style>'
           f'<rect class="page" width="{WIDTH}" height="{height:g}"/>', _head(dashboard, start, end)]
    for panel, (x, y, w, h) in boxes:
        out.append(f'<g transform="translate({MARGIN + x:.1f} {HEAD + y:g})">')
        if panel["type"] == "row":
            out.append(f'<path class="mark" d="M8 12l5 5 5-5"/><text class="row" x="28" y="20">{escape(panel["title"])}</text>')
        else:
            out.append(panels.draw(panel, series[panel["id"]], round(w, 1), h, start, end, step))
        out.append("</g>\n")
    return "".join(out) + "</svg>\n"
