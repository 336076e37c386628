#!/usr/bin/python3
"""The picture of the dashboard: units, axes, gaps and places, as Grafana has them."""

import math
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "deploy" / "monitoring" / "grafana"))

from monitoring import delivered_dashboard  # noqa: E402
from picture import axes, page, panel  # noqa: E402
from picture.units import text_of  # noqa: E402


def a_panel(unit="none"):
    return {"title": "A <title>", "description": "", "fieldConfig": {"defaults": {"unit": unit}}}


class UnitsTest(unittest.TestCase):
    def test_values(self):
        for value, unit, text in ((0, "s", "0 s"), (0.00025, "s", "250 µs"), (0.0123, "s", "12.3 ms"), (90, "s", "1.5 mins"),
                                  (1500, "Bps", "1.5 kB/s"), (1536, "bytes", "1.5 KiB"), (2147483648, "bytes", "2 GiB"),
                                  (0.0084, "percentunit", "0.84%"), (12345, "ops", "12.3K ops/s"), (3, "none", "3")):
            with self.subTest(value=value, unit=unit):
                self.assertEqual(text_of(value, unit), text)

    def test_ticks_of_an_axis_differ(self):
        for low, high, unit in ((0.0095, 0.0105, "percentunit"), (0, 0.0004, "s"), (2 ** 30, 2 ** 30 + 2 ** 20, "bytes"),
                                (0, 1.2e6, "Bps"), (-1, 1, "none")):
            step, values = axes.ticks(low, high, 200, 30)
            texts = [text_of(value, unit, step) for value in values]
            self.assertEqual(len(set(texts)), len(texts), texts)

    def test_an_unknown_unit_is_an_error(self):
        with self.assertRaisesRegex(ValueError, "parsecs"):
            text_of(1, "parsecs")


class AxesTest(unittest.TestCase):
    def test_range_has_room_but_does_not_cross_zero(self):
        self.assertEqual(axes.value_range(0, 10), (0, 11))
        self.assertEqual(axes.value_range(4, 4), (0, 8))
        self.assertEqual(axes.value_range(0, 0), (0, 100))
        low, high = axes.value_range(0.97, 0.98)
        self.assertTrue(0.96 < low < 0.97 and 0.98 < high < 0.99, (low, high))
        self.assertEqual(axes.value_range(-10, 0), (-11, 0))

    def test_ticks_keep_their_distance(self):
        step, values = axes.ticks(0, 11, 100, 30)
        self.assertEqual((step, values), (5, [0, 5, 10]))


class PanelTest(unittest.TestCase):
    def test_gaps_stay_gaps(self):
        points = [(0, 1.0), (1, 2.0), (2, math.nan), (3, 1.0), (6, 1.0), (7, 2.0)]
        svg = panel.draw(a_panel(), [("a", points)], 400, 300, 0, 10, 1)
        self.assertEqual(svg.split('class="line"')[1].split("/>")[0].count("M"), 2)
        self.assertEqual(svg.count("<circle cx"), 1)  # the value between two gaps

    def test_no_data_is_said(self):
        self.assertIn("No data", panel.draw(a_panel(), [("a", [(0, math.nan)])], 400, 300, 0, 10, 1))

    def test_an_end_of_the_axis_may_be_fixed(self):
        limited = a_panel("percentunit")
        limited["fieldConfig"]["defaults"]["max"] = 1
        svg = panel.draw(limited, [("a", [(0, 0.97), (1, 0.97)])], 400, 300, 0, 10, 1)
        self.assertIn(">100%<", svg)
        self.assertNotIn(">150%<", svg)

    def test_names_come_from_labels(self):
        self.assertEqual(panel.legend_of({"legendFormat": "rank {{rank}}, {{ x }}"}, {"rank": "3"}), "rank 3, ")


class PageTest(unittest.TestCase):
    def test_the_grid_fills_the_page(self):
        x, y, width, height = page.place({"x": 16, "y": 1, "w": 8, "h": 8}, 1184)
        self.assertAlmostEqual(x + width, 1184)
        self.assertEqual((y, height), (38, 296))

    def test_panels_do_not_overlap(self):
        taken = set()
        for grid in (panel["gridPos"] for panel in delivered_dashboard()["panels"]):
            cells = {(x, y) for x in range(grid["x"], grid["x"] + grid["w"]) for y in range(grid["y"], grid["y"] + grid["h"])}
            self.assertTrue(max(x for x, _ in cells) < 24 and not taken & cells, grid)
            taken |= cells
        # Every line is full.
        self.assertEqual(len(taken), 24 * (1 + max(y for _, y in taken)))

    def test_every_panel_is_drawn(self):
        dashboard = delivered_dashboard()
        series = {each["id"]: [("a", [(0, 1.0), (1, 2.0)])] for each in dashboard["panels"]}
        svg = page.draw(dashboard, series, 0, 60, 1)
        self.assertEqual(svg.count('class="panel"'), sum(each["type"] != "row" for each in dashboard["panels"]))
        self.assertNotIn("No data", svg)


if __name__ == "__main__":
    unittest.main()
