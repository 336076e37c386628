#!/usr/bin/env python3
"""What libcddp gives and takes: its symbols, its name, and the libraries that it asks for.

    symbols_test.py LIBRARY
"""
import pathlib
import re
import subprocess
import sys
import unittest

LIBRARY = pathlib.Path(sys.argv.pop(1))
HEADER = pathlib.Path(__file__).resolve().parent.parent.parent / "include/cddp/cddp.h"


def run(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


class SymbolsTest(unittest.TestCase):
    def test_it_exports_what_the_header_declares_and_nothing_else(self):
        lines = [line.split() for line in run("nm", "-D", "--defined-only", str(LIBRARY)).splitlines()]
        exported = {words[-1].split("@")[0] for words in lines if words[-2] != "A"}
        declared = set(re.findall(r"\b(cddp_\w+)\(", re.sub(r"/\*.*?\*/", "", HEADER.read_text(), flags=re.DOTALL)))
        self.assertEqual(exported, declared)
        self.assertTrue(all("@@CDDP_1" in words[-1] for words in lines if words[-2] != "A"), "a symbol has no version")

    def test_its_name_has_the_major_version(self):
        self.assertIn("[libcddp.so.1]", run("readelf", "-d", str(LIBRARY)))
        self.assertIn("#define CDDP_VERSION_MAJOR 1\n", HEADER.read_text())

    def test_logs_flags_and_metrics_stay_in_the_programs(self):
        taken = run("ldd", str(LIBRARY))
        for name in ("spdlog", "fmt", "prometheus", "microhttpd", "absl_flags_reflection", "absl_flags_internal",
                     "torch", "grpc++_reflection"):
            self.assertNotIn(name, taken)


if __name__ == "__main__":
    unittest.main(verbosity=2)
