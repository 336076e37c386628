#!/usr/bin/python3
"""There is one version, that of CMakeLists.txt: programs, the Python package, images and manifests say the same.

usage: version_test.py FOLDER_OF_PROGRAMS
"""

import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAMS = pathlib.Path(sys.argv.pop(1))
VERSION = re.search(r"project\(\w+ VERSION (\S+)", (ROOT / "CMakeLists.txt").read_text())[1]


def said(*command):
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.strip()


class VersionTest(unittest.TestCase):
    def test_programs_tell_the_version_and_the_commit(self):
        for name in ("cddp", "cddp-server", "cddp-worker"):
            text = said(PROGRAMS / name, "--version")
            self.assertRegex(text, rf"^{name} {re.escape(VERSION)}( \(commit [0-9a-f]{{10,}}(-dirty)?\))?$")

    @unittest.skipUnless((ROOT / ".git").exists(), "not in a repository")
    def test_a_build_looks_at_the_commit(self):
        with tempfile.TemporaryDirectory() as folder:
            written = pathlib.Path(folder) / "commit.cc"
            said("cmake", f"-DSOURCE={ROOT}", f"-DOUT={written}", "-P", ROOT / "cmake/WriteCommit.cmake")
            self.assertIn(said("git", "-C", ROOT, "rev-parse", "HEAD")[:10], written.read_text())

    def test_what_is_delivered_has_the_same_version(self):
        places = {
            "python/cddp/__init__.py": r'__version__ = "(.+)"',
            "docker/Dockerfile": r'image\.version="(.+)"',
            "docker/compose.yaml": r"-cddp-[a-z-]+:(.+)}",
            "docker/.env.example": r"=cddp-[a-z-]+:(.+)",
            "deploy/kubernetes/components/images/kustomization.yaml": r"newTag: (.+)}",
        }
        for place, pattern in places.items():
            found = set(re.findall(pattern, (ROOT / place).read_text()))
            self.assertEqual(found, {VERSION}, place)


if __name__ == "__main__":
    unittest.main()
