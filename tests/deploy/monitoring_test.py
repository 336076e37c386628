#!/usr/bin/python3
"""The delivered monitoring against a real run: promtool takes all files, and a real Prometheus, scraping a server and two
workers, answers every query of dashboard, rules and alerts with data.

usage: monitoring_test.py FOLDER_OF_PROGRAMS; exits with 77 (skipped) where Prometheus is not installed.
"""

import importlib.machinery
import importlib.util
import pathlib
import shutil
import subprocess
import sys

from monitored_run import MonitoredRun
from monitoring import MONITORING, answer, delivered_dashboard, queries

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from small_images import write_images  # noqa: E402  (tests/support is where it lies)


def generated_dashboard():
    loader = importlib.machinery.SourceFileLoader("make_dashboard", str(MONITORING / "grafana" / "make_dashboard"))
    sys.dont_write_bytecode = True
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("make_dashboard", loader))
    loader.exec_module(module)
    return module.dashboard()


def main():
    if not shutil.which("prometheus") or not shutil.which("promtool"):
        print("SKIPPED: prometheus and promtool are not installed (apt-get install prometheus)")
        return 77
    for command in (["check", "config", "prometheus.yml"], ["test", "rules", "alerts_test.yml"]):
        subprocess.run(["promtool", *command], cwd=MONITORING, check=True)
    dashboard = delivered_dashboard()
    if dashboard != generated_dashboard():
        sys.exit("dashboards/cddp.json is not what make_dashboard makes: run deploy/monitoring/grafana/make_dashboard")
    for panel in dashboard["panels"]:
        if panel["type"] != "row" and not (panel["description"] and panel["fieldConfig"]["defaults"]["unit"]):
            sys.exit(f"panel '{panel['title']}' needs a unit and a description")

    with MonitoredRun(sys.argv[1], servers=1, workers=2) as run:
        write_images(run.folder / "data")
        run.start(server_flags=["--publish_ratio=0.1", "--snapshot_bytes=1000000"],
                  worker_flags=["--model=mlp", f"--data_dir={run.folder / 'data'}", "--epochs=1000000", "--ratio=0.1",
                                "--threads=1"])
        run.wait_for_targets()
        unanswered = list(queries(dashboard, rate_interval="10s"))
        count = len(unanswered)

        def missing_answers():
            unanswered[:] = [(where, query) for where, query in unanswered if not answer(run.prometheus_port, query)]
            return unanswered or None

        run.wait_for(missing_answers, "queries without data")
        # No alert may fire for a run that is well.
        firing = answer(run.prometheus_port, 'ALERTS{alertstate="firing"}')
        if firing:
            sys.exit(f"alerts fire: {firing}")
        print(f"{count} queries answered with data")
    return 0


if __name__ == "__main__":
    sys.exit(main())
