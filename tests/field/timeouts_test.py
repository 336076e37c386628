#!/usr/bin/python3
"""docs/operations.md has a row for every flag that is a duration, with its default; and no row for one that is not there.

usage: timeouts_test.py FOLDER_OF_PROGRAMS [TEST...]
"""

import pathlib
import re

import programs
from programs import FieldTest

TABLE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "operations.md"
PROGRAMS = ("cddp-server", "cddp-worker", "cddp train", "cddp run", "cddp status", "cddp checkpoint", "cddp plan")
UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
DURATION = r"((?:\d+(?:\.\d+)?(?:ms|s|m|h))+|inf)"


def seconds(text):
    if text == "inf":
        return float("inf")
    return sum(float(number) * UNITS[unit] for number, unit in re.findall(r"([\d.]+)(ms|s|m|h)", text))


class TimeOuts(FieldTest):
    def flags(self):
        """(program, flag) -> seconds, as the programs tell."""
        found = {}
        for program in PROGRAMS:
            help_text = self.run_to_end(*program.split(), "--help").output()
            for name, default in re.findall(rf"^  --(\w+) \(default {DURATION}\)$", help_text, re.MULTILINE):
                found[program, name] = seconds(default)
        return found

    def test_every_duration_has_a_row(self):
        rows = {}
        for line in TABLE.read_text().split("## Time-outs")[1].splitlines():
            match = re.match(rf"\| `([\w -]+?) --(\w+)` \| {DURATION} ", line)
            if match:
                rows[match[1], match[2]] = seconds(match[3])
        found = self.flags()
        self.assertGreater(len(found), 8)
        self.assertEqual(rows, found)


if __name__ == "__main__":
    programs.main()
