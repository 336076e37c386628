"""Values as Grafana writes them: its units by the names that the dashboard uses, and its choice of decimals."""

import math

SI = ["", "k", "M", "G", "T", "P"]
BINARY = ["", "Ki", "Mi", "Gi", "Ti", "Pi"]
SHORT = ["", "K", "M", "B", "T"]
# (least seconds, divided by, unit)
TIMES = [(31536000, 31536000, "years"), (604800, 604800, "weeks"), (86400, 86400, "days"), (3600, 3600, "hours"),
         (60, 60, "mins"), (1, 1, "s"), (1e-3, 1e-3, "ms"), (1e-6, 1e-6, "µs"), (0, 1e-9, "ns")]


def decimals_of(value):
    """The decimals of a single value in Grafana: two or three digits in all."""
    if value == int(value):
        return 0
    decimals = 1 - math.floor(math.log10(abs(value)))
    return max(0, decimals + (abs(value) * 10.0 ** decimals > 2.25))


def number(value, step=None):
    """A value on an axis whose ticks are `step` apart, with just enough decimals to tell them apart."""
    decimals = decimals_of(value if step is None else step)
    text = f"{value:.{decimals}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def _scaled(value, step, most, factor, prefixes, unit):
    power = 0
    while most >= factor and power < len(prefixes) - 1:
        most, power = most / factor, power + 1
    scale = factor ** power
    return f"{number(value / scale, step and step / scale)} {prefixes[power]}{unit}".rstrip()


def _seconds(value, step):
    if value == 0:
        return "0 s"
    _, divisor, unit = next(row for row in TIMES if abs(value) >= row[0] * (1 - 1e-9))
    return f"{number(value / divisor, step and step / divisor)} {unit}"


def text_of(value, unit, step=None):
    """`step`: the distance of an axis' ticks, if the value is one of them."""
    if unit == "none":
        return number(value, step)
    if unit == "percentunit":
        return number(100 * value, step and 100 * step) + "%"
    if unit == "s":
        return _seconds(value, step)
    if unit == "ops":
        return _scaled(value, step, abs(value), 1000, SHORT, "").replace(" ", "") + " ops/s"
    if unit == "Bps":
        return _scaled(value, step, abs(value), 1000, SI, "B/s")
    if unit == "bytes":
        return _scaled(value, step, abs(value), 1024, BINARY, "B")
    raise ValueError(f"unit '{unit}' is not known here: add it to {__file__}")
