#!/usr/bin/python3
"""scripts/make_man: manual pages and completion know every flag of every program.

usage: make_man_test.py FOLDER_OF_PROGRAMS
"""

import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

INSTALL = pathlib.Path(__file__).resolve().parents[3] / "cmake/CddpInstall.cmake"
SCRIPT = pathlib.Path(__file__).resolve().parents[3] / "scripts/make_man"


def run(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, check=True, **options).stdout


class MakeMan(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        run(SCRIPT, PROGRAMS, cls.folder, "1.2.3")
        cls.commands = re.findall(r"^  ([a-z]+) ", run(PROGRAMS / "cddp", "help"), re.MULTILINE)
        cls.commands.remove("help")
        cls.programs = [["cddp", command] for command in cls.commands]
        cls.programs += [[name] for name in ("cddp-server", "cddp-worker") if (PROGRAMS / name).exists()]

    def flags(self, program):
        """Names of its flags, and whether each is a switch."""
        text = run(PROGRAMS / program[0], *program[1:], "--help")
        return {name: default in ("true", "false")
                for name, default in re.findall(r"^  --(\w+)(?: \(default (.*)\))?$", text, re.MULTILINE)}

    def complete(self, *words):
        script = ('source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _cddp; '
                  'printf "%s\\n" "${COMPREPLY[@]}"')
        completion = self.folder / "bash-completion" / words[0]
        return run("bash", "-c", script, "bash", completion, *words).split()

    def test_pages_have_every_flag_with_its_help(self):
        for program in self.programs:
            flags = self.flags(program)
            self.assertGreater(len(flags), 0, program)
            page = (self.folder / "man1" / f"{'-'.join(program)}.1").read_text().replace("\\-", "-").replace("\\e", "\\")
            for name in flags:
                self.assertRegex(page, rf"\n\.B --{name}( \(default .*\))?\n[^.]", program)
            self.assertTrue(page.startswith(f'.TH "{"-".join(program).upper()}" 1 "" "Compressed-DDP 1.2.3"\n.SH NAME\n'))

    def test_every_page_is_installed(self):
        words = INSTALL.read_text().split()
        for command in self.commands:
            self.assertTrue(any(word.rstrip(")") == f"cddp-{command}" for word in words), command)

    @unittest.skipUnless(shutil.which("man") and shutil.which("groff"), "there is no man")
    def test_man_shows_them_without_a_warning(self):
        for page in sorted((self.folder / "man1").iterdir()):
            shown = subprocess.run(["man", "--warnings", "-l", page], capture_output=True, text=True)
            self.assertEqual((shown.returncode, shown.stderr), (0, ""), page)
            self.assertGreater(len(shown.stdout), 500, page)

    def test_every_flag_is_completed(self):
        for program in self.programs:
            for name, is_switch in self.flags(program).items():
                wanted = f"--{name}" if is_switch else f"--{name}="
                self.assertIn(wanted, self.complete(*program, f"--{name}"))
                if is_switch:
                    self.assertIn(f"--no{name}", self.complete(*program, f"--no{name}"))

    def test_commands_and_values(self):
        self.assertEqual(sorted(self.complete("cddp", "")), sorted([*self.commands, "help"]))
        self.assertEqual(self.complete("cddp", "tr"), ["train"])
        self.assertIn("--lease=", self.complete("cddp", "train", "--le"), "of cddp-server, handed on")
        self.assertEqual(self.complete("cddp", "train", "--data", "="), [], "files")
        self.assertEqual(self.complete("cddp", "report", "runs"), [], "files")


if __name__ == "__main__":
    PROGRAMS = pathlib.Path(sys.argv.pop(1)).resolve()
    unittest.main(verbosity=2)
