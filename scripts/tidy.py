#!/usr/bin/env python3
"""clang-tidy over every .cc file of a build, with clang's thread-safety analysis in the same pass.

A file whose code, headers of ours, flags and checks are those of an earlier run without a finding is not looked at
again: its key, a hash of all these, lies in ~/.cache/cddp-tidy (or $XDG_CACHE_HOME). Of the system's headers only the
compiler's version counts.

Files that include LibTorch are left out: clang 14 cannot read LibTorch 1.13's headers as C++20.

    scripts/tidy.py BUILD_FOLDER [PATTERN...]   only files whose path holds one of the patterns
"""
import concurrent.futures
import functools
import glob
import hashlib
import json
import os
import subprocess
import sys
import time

import include_rule

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CACHE = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "cddp-tidy")
TIDY = ["clang-tidy", "--quiet", "--warnings-as-errors=*", "--extra-arg=-Wthread-safety",
        "--extra-arg=-Wno-unknown-warning-option"]


def read(path):
    with open(path, "rb") as file:
        return file.read()


@functools.cache
def tidy_version():
    return subprocess.run(["clang-tidy", "--version"], capture_output=True, check=True).stdout


class Keys:
    """Hashes of everything on which a file's findings depend."""

    def __init__(self):
        # The messages' headers are made from the .proto files.
        rules = [os.path.join(ROOT, ".clang-tidy")] + sorted(glob.glob(f"{ROOT}/proto/**/*.proto", recursive=True))
        self.common = b"".join([tidy_version(), repr(TIDY).encode()] + [read(path) for path in rules])
        self.includes = {}

    def closure(self, file):
        """The file and all our headers that it includes, also indirectly."""
        found, left = set(), [file]
        while left:
            each = left.pop()
            if each in found or not os.path.isfile(os.path.join(ROOT, each)):
                continue
            found.add(each)
            if each not in self.includes:
                self.includes.update(include_rule.read_includes(ROOT, [each]))
            for _, include in self.includes[each]:
                left += [include, "include/" + include]  # the library's headers lie there
        return sorted(found)

    def includes_libtorch(self, file):
        return any(include_rule.LIBRARIES["LibTorch"].match(include)
                   for each in self.closure(file) for _, include in self.includes[each])

    def key(self, file, command):
        digest = hashlib.sha256(self.common)
        digest.update(command.replace(ROOT, ".").encode())
        rules_of_tests = os.path.join(ROOT, "tests", ".clang-tidy")
        if file.startswith("tests/") and os.path.exists(rules_of_tests):
            digest.update(read(rules_of_tests))
        for each in self.closure(file):
            digest.update(each.encode() + b"\0" + read(os.path.join(ROOT, each)))
        return digest.hexdigest()


def tidy(build, file, stamp):
    run = subprocess.run([*TIDY, "-p", build, os.path.join(ROOT, file)], capture_output=True, text=True, check=False)
    if run.returncode == 0:
        open(stamp, "w", encoding="utf-8").close()
        return ""
    return run.stdout.replace(ROOT + "/", "") or run.stderr  # a file that clang cannot read is a finding, too


def main():
    build, patterns = os.path.join(ROOT, sys.argv[1]), sys.argv[2:] or [""]
    commands = {}
    for entry in json.loads(read(os.path.join(build, "compile_commands.json"))):
        file = os.path.relpath(entry["file"], ROOT)
        if not file.startswith(("build/", "..")) and any(pattern in file for pattern in patterns):
            commands[file] = entry["command"]
    keys = Keys()
    with_libtorch = [file for file in commands if keys.includes_libtorch(file)]
    for file in with_libtorch:
        del commands[file]
    stamps = {file: os.path.join(CACHE, keys.key(file, command)) for file, command in commands.items()}
    files = [file for file in commands if not os.path.exists(stamps[file])]
    begin, bad, told = time.monotonic(), 0, set()
    os.makedirs(CACHE, exist_ok=True)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for file, findings in zip(files, pool.map(lambda file: tidy(build, file, stamps[file]), files)):
            if not findings:
                continue
            bad += 1
            if findings not in told:
                print(f"{file}:\n{findings}", file=sys.stderr)
            told.add(findings)
    print(f"clang-tidy: {len(commands)} files, {len(files)} of them anew in {time.monotonic() - begin:.0f} s, "
          f"{bad} with findings; {len(with_libtorch)} left out, which include LibTorch")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
