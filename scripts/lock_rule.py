#!/usr/bin/python3
"""Compares the mutexes of the programs and the library with the table of docs/threads.md: each must have a row there, and
each row a mutex. Prints the differences and exits with 1."""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
MUTEX = re.compile(r"^\s*(?:mutable )?(?:Mutex (\w+);|Mutex& (\w+)\(\) \{)", re.MULTILINE)
ROW = re.compile(r"^\| `([\w./]+)` \| `(\w+)` \|", re.MULTILINE)


def main():
    sources = (file for folder in ("common", "server", "worker", "deploy")
               for file in (ROOT / folder).rglob("*") if file.suffix in (".h", ".cc", ".cu"))
    mutexes = {(str(file.relative_to(ROOT)), name) for file in sources for pair in MUTEX.findall(file.read_text()) for name in pair if name}
    mutexes = {(file, name) for file, name in mutexes if not file.startswith("common/sync/")}
    rows = set(ROW.findall((ROOT / "docs" / "threads.md").read_text()))
    for file, name in sorted(mutexes - rows):
        print(f"{file}: {name} has no row in docs/threads.md: what does it guard, and what may be taken under it?")
    for file, name in sorted(rows - mutexes):
        print(f"docs/threads.md: {file} has no {name}")
    return int(mutexes != rows)


if __name__ == "__main__":
    sys.exit(main())
