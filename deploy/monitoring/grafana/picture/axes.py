"""Ranges and ticks as Grafana's plots (uPlot) choose them."""

import math

NUMBER_STEPS = [digit * 10.0 ** power for power in range(-12, 16) for digit in (1, 2, 2.5, 5)]
BINARY_STEPS = [2.0 ** power for power in range(-10, 60)]
TIME_STEPS = [1, 5, 10, 15, 30, 60, 300, 600, 900, 1800, 3600, 7200, 21600, 43200, 86400]


def value_range(least, most):
    """The values' range, extended by a tenth on each side, but not beyond zero."""
    delta = most - least
    size = delta or abs(most) or 1000.0
    base = 10.0 ** math.floor(math.log10(size)) / 10
    pad = size * (0.1 if delta or not most else 1)
    low = math.floor(round((least - pad) / base, 9)) * base
    high = math.ceil(round((most + pad) / base, 9)) * base
    return (0.0 if least >= 0 > low else low), (0.0 if most <= 0 < high and delta else high)


def ticks(low, high, length, space, steps=NUMBER_STEPS):
    """(step, ticks) with at least `space` pixels of `length` between two ticks."""
    step = next((step for step in steps if step * length / (high - low) >= space), steps[-1])
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return step, [step * i for i in range(first, last + 1)]
