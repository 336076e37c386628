"""Runs of `cddp train` for the benchmarks that compare trainings."""

import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def build():
    """Returns the release's cddp; quick when nothing has changed."""
    subprocess.run([ROOT / "scripts" / "build", "release", "cddp", "cddp-server", "cddp-worker"], check=True,
                   stdout=sys.stderr)
    return ROOT / "build" / "release" / "bin" / "cddp"


def finished_report(folder, flags):
    """The report of a run with exactly these flags, or None if there is none or it did not finish."""
    try:
        if json.loads((folder / "flags.json").read_text()) != flags:
            return None
        report = json.loads((folder / "report.json").read_text())
    except (OSError, ValueError):
        return None
    return report if report["state"] == "finished" else None


def train(cddp, folder, flags, resume, started=None):
    """Runs one training, or takes its report from an earlier time. Its progress goes to standard error.

    `started` is called with the running `cddp train` (a Popen).
    """
    report = finished_report(folder, flags) if resume else None
    if report is not None:
        print(f"{folder.name}: finished before", file=sys.stderr)
        return report
    print(f"{folder.name}:", file=sys.stderr, flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").unlink(missing_ok=True)
    (folder / "flags.json").write_text(json.dumps(flags))
    try:
        running = subprocess.Popen([cddp, "train", *flags, f"--output={folder}"], cwd=ROOT, stdout=sys.stderr)
        if started is not None:
            started(running)
        code = running.wait()
    except KeyboardInterrupt:
        sys.exit(130)  # cddp has had the Ctrl-C, too
    if code != 0:
        print(f"{folder.name} failed; see {folder}", file=sys.stderr)
        sys.exit(code)
    report = finished_report(folder, flags)
    if report is None:
        sys.exit(f"{folder.name} left no finished report in {folder}")
    return report


def percent(value):
    return f"{100 * value:.2f} %"
