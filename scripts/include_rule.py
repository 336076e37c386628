#!/usr/bin/env python3
"""The include rule: which folder may include which, and where gRPC, LibTorch and CUDA may appear.

ARCHITECTURE.md's table of parts is the rule: its last column names folders (each stands for those below it as well) and
libraries. "gRPC in `service*`, `server*`" limits a library to files of these names. Every folder needs a row; one that
may use everything stands for the folders below it, too. What a header includes counts for whoever includes the header:
a folder without gRPC must not get it through another's headers either.

Prints the folders, each after all that it includes, or what breaks the rule, with file and line. Exits with 1 if
something does.

    scripts/include_rule.py [SOURCE_FOLDER]
"""
import collections
import fnmatch
import os
import re
import sys

LIBRARIES = {
    "gRPC": re.compile(r"grpc(pp)?/|.*\.grpc\.pb\.h$"),
    "LibTorch": re.compile(r"(torch|ATen|c10|caffe2)/"),
    "CUDA": re.compile(r"(cuda|cub/|thrust/|nvml)"),
}
INCLUDE = re.compile(r'\s*#\s*include\s*[<"]([^>"]+)[>"]')


class Row:
    """The permissions of one row of the table."""

    def __init__(self, text):
        self.anything = text.strip() == "everything"
        self.folders = set()
        self.libraries = {}  # name -> patterns of file names
        for item in re.findall(r"(?:(\w+) in )?((?:`[^`]+`(?:, )?)+)|(\w+)", text):
            library, names, alone = item
            names = re.findall(r"`([^`]+)`", names)
            if library:
                self.libraries[library] = names
            elif alone:
                self.libraries[alone] = ["*"]
            else:
                self.folders.update(name.rstrip("/") for name in names)

    def may_include(self, folder):
        return self.anything or any(is_below(folder, allowed) for allowed in self.folders)

    def may_use(self, library, file):
        names = self.libraries.get(library, [])
        return self.anything or any(fnmatch.fnmatch(os.path.basename(file), name) for name in names)


def is_below(folder, other):
    return folder == other or folder.startswith(other + "/")


def read_table(text):
    """folder -> Row, of the rows `| `folder/` | what | may use |` of the section Parts."""
    rows = {}
    for line in text.partition("\n## Parts\n")[2].partition("\n## ")[0].splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) == 5 and cells[1].startswith("`"):
            row = Row(cells[3])
            unknown = set(row.libraries) - set(LIBRARIES) if not row.anything else set()
            if unknown:
                raise ValueError(f"ARCHITECTURE.md: {cells[1]} may use '{unknown.pop()}': name folders in backticks, or "
                                 + ", ".join(LIBRARIES))
            rows[cells[1].strip("`").rstrip("/")] = row
    return rows


def row_of(folder, rows):
    above = folder
    while above and not (above in rows and rows[above].anything):
        above = os.path.dirname(above)
    return rows.get(folder) or rows.get(above)


def read_includes(root, files):
    """file -> [(line, what it includes)]"""
    includes = {}
    for file in files:
        with open(os.path.join(root, file), encoding="utf-8") as lines:
            found = [(number, INCLUDE.match(line)) for number, line in enumerate(lines, 1)]
        includes[file] = [(number, match[1]) for number, match in found if match]
    return includes


def folder_of(include, files):
    """The folder of ours that an include names, or None for a library's."""
    if include.startswith("cddp/"):
        return "proto"  # made from the .proto files
    return os.path.dirname(include) if include in files else None


def libraries_reached(includes):
    """file -> {library: chain of our headers through which the file includes it}."""
    reached = collections.defaultdict(dict)
    for file, lines in includes.items():
        for _, include in lines:
            for library, pattern in LIBRARIES.items():
                if pattern.match(include):
                    reached[file].setdefault(library, [include])
    changed = True
    while changed:
        changed = False
        for file, lines in includes.items():
            for _, include in lines:
                for library, chain in list(reached.get(include, {}).items()):
                    if library not in reached[file]:
                        reached[file][library] = [include] + chain
                        changed = True
    return reached


def find_cycle(graph):
    """Folders that form a cycle, or None; `order` gets the folders, each after all that it includes."""
    order, state = [], {}

    def visit(folder, path):
        if state.get(folder) == "done":
            return None
        if folder in path:
            return path[path.index(folder):] + [folder]
        for other in sorted(graph[folder]):
            cycle = visit(other, path + [folder])
            if cycle:
                return cycle
        state[folder] = "done"
        order.append(folder)
        return None

    for folder in sorted(graph):
        cycle = visit(folder, [])
        if cycle:
            return cycle, order
    return None, order


def check(root, files):
    """(violations, folders in order, folder -> folders that it includes)"""
    with open(os.path.join(root, "ARCHITECTURE.md"), encoding="utf-8") as text:
        rows = read_table(text.read())
    includes = read_includes(root, files)
    for file, lines in includes.items():  # the library's headers are found below include/
        includes[file] = [(line, f"include/{name}" if f"include/{name}" in includes else name) for line, name in lines]
    reached = libraries_reached(includes)
    problems = []
    graph = {os.path.dirname(file): set() for file in files}
    where = {}  # (folder, folder) -> the first file and line
    for file, lines in includes.items():
        folder = os.path.dirname(file)
        row = row_of(folder, rows)
        if row is None:
            problems.append(f"{file}:1: {folder} has no row in ARCHITECTURE.md's table of parts")
            continue
        for line, include in lines:
            other = folder_of(include, includes)
            if other is None or other == folder:
                continue
            graph[folder].add(other)
            graph.setdefault(other, set())
            where.setdefault((folder, other), f"{file}:{line}")
            if not row.may_include(other):
                problems.append(f"{file}:{line}: {folder} may not include {other}: ARCHITECTURE.md's table of parts "
                                "does not name it")
        for library, chain in reached[file].items():
            if not row.may_use(library, file):
                line = next(number for number, include in lines if include == chain[0])
                problems.append(f"{file}:{line}: {library} is not for this file, by ARCHITECTURE.md's table of parts; "
                                "it comes by " + " -> ".join(chain))
    cycle, order = find_cycle(graph)
    if cycle:
        steps = [f"{where[a, b]} ({a} -> {b})" for a, b in zip(cycle, cycle[1:])]
        problems.append("folders include each other: " + ", ".join(steps))
    return problems, order, graph


def list_sources(root):
    files = []
    for folder, folders, names in os.walk(root):
        if folder == root:
            folders[:] = [name for name in folders if name not in ("build", "data", "runs") and name[0] != "."]
        files += [os.path.relpath(os.path.join(folder, name), root) for name in names
                  if name.endswith((".h", ".hpp", ".cc", ".cu"))]
    return sorted(files)


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    problems, order, graph = check(root, list_sources(root))
    if problems:
        print("\n".join(problems), file=sys.stderr)
        return 1
    print(f"{len(order)} folders, no cycle; each includes folders above it only:")
    for folder in order:
        print(f"  {folder}" + (f" <- {', '.join(sorted(graph[folder]))}" if graph[folder] else ""))
    return 0


if __name__ == "__main__":
    sys.exit(main())
