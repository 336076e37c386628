"""Runs of `cddp train` for the benchmarks that compare trainings."""

import argparse
import json
import pathlib
import shlex
import statistics
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
    (folder / "flags.json").write_text(json.dumps(flags))
    try:
        running = subprocess.Popen([cddp, "train", *flags, "--overwrite", f"--output={folder}"], cwd=ROOT, stdout=sys.stderr)
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


def parse_arguments(description, settings, name, seeds):
    """Arguments of a script that compares `settings` (a dictionary by name), and further flags of `cddp train`."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter,
                                     allow_abbrev=False, epilog="Any other --flag=value goes to every `cddp train`.")
    parser.add_argument(f"--{name}", dest="chosen", default=",".join(settings), help="which, with commas (default: all)")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", default=seeds, help="list of numbers (default: %(default)s)")
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "runs" / name)
    parser.add_argument("--resume", action="store_true", help="keep the runs that are finished there")
    parser.add_argument("--cddp", type=pathlib.Path,
                        help="the program to run (default: build/release/bin/cddp, which is built first)")
    arguments, others = parser.parse_known_args()
    arguments.cddp = arguments.cddp.resolve() if arguments.cddp else build()
    arguments.chosen = arguments.chosen.split(",")
    for setting in arguments.chosen:
        if setting not in settings:
            parser.error(f"--{name}: '{setting}' is none of {', '.join(settings)}")
    arguments.seeds = [int(seed) for seed in arguments.seeds.split(",")]
    return arguments, others


def mean_report(arguments, others, setting, flags, started=None):
    """Trains simple_cnn with 4 workers and 2 servers once a seed; the mean of each number of the reports."""
    reports = [
        train(arguments.cddp, arguments.output.resolve() / f"{setting}-{seed}",
              ["--model=simple_cnn", "--workers=4", "--servers=2", f"--epochs={arguments.epochs}", f"--seed={seed}",
               *shlex.split(flags), *others], arguments.resume, started)
        for seed in arguments.seeds]
    return {key: statistics.mean(report[key] for report in reports)
            for key in ("test_accuracy", "push_saved", "both_saved", "seconds")}
