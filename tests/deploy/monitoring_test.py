#!/usr/bin/python3
"""The delivered monitoring against a real run: promtool takes all files, and a real Prometheus, scraping a server and two
workers, answers every query of dashboard, rules and alerts with data.

usage: monitoring_test.py FOLDER_OF_PROGRAMS; exits with 77 (skipped) where Prometheus is not installed.
"""

import importlib.machinery
import importlib.util
import json
import pathlib
import random
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time

from monitoring import MONITORING, answer, delivered_dashboard, queries

DEADLINE = 120  # seconds for all queries to have data


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def write_data(folder):
    folder.mkdir()
    numbers = random.Random(1)
    for name, count in (("train", 640), ("t10k", 100)):
        labels = bytes(i % 4 for i in range(count))
        pixels = bytes(min(255, numbers.randrange(60) + 150 * (p // 72 == c // 2 and p % 12 // 6 == c % 2))
                       for c in labels for p in range(144))
        (folder / f"{name}-images-idx3-ubyte").write_bytes(struct.pack(">IIII", 0x803, count, 12, 12) + pixels)
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, count) + labels)


def generated_dashboard():
    loader = importlib.machinery.SourceFileLoader("make_dashboard", str(MONITORING / "grafana" / "make_dashboard"))
    sys.dont_write_bytecode = True
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("make_dashboard", loader))
    loader.exec_module(module)
    return module.dashboard()


def wait_for(processes, condition, what):
    end = time.monotonic() + DEADLINE
    while True:
        result = condition()
        if result is None:
            return
        for process in processes:
            if process.poll() is not None:
                sys.exit(f"{process.args[0]} ended with {process.returncode} while waiting for {what}")
        if time.monotonic() > end:
            sys.exit(f"{what}: {result}")
        time.sleep(0.2)


def main():
    programs = pathlib.Path(sys.argv[1])
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

    processes = []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        write_data(folder / "data")
        ports = {job: [free_port() for _ in range(count)] for job, count in (("cddp-server", 1), ("cddp-worker", 2))}
        listen, web = free_port(), free_port()
        targets = "".join(f"  - job_name: {job}\n    static_configs: [{{targets: {json.dumps([f'127.0.0.1:{p}' for p in all_])}}}]\n"
                          for job, all_ in ports.items())
        (folder / "prometheus.yml").write_text(
            "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
            f"rule_files: [{MONITORING}/recording.yml, {MONITORING}/alerts.yml]\nscrape_configs:\n{targets}")

        def start(*command):
            log = open(folder / f"log-{len(processes)}", "w")
            processes.append(subprocess.Popen(command, stdout=log, stderr=log))

        try:
            start(programs / "cddp-server", f"--listen=127.0.0.1:{listen}", "--workers=2", "--publish_ratio=0.1",
                  f"--state_dir={folder / 'state'}", "--snapshot_bytes=1000000",
                  f"--metrics_listen=127.0.0.1:{ports['cddp-server'][0]}")
            for rank, port in enumerate(ports["cddp-worker"]):
                start(programs / "cddp-worker", f"--rank={rank}", "--workers=2", f"--servers=127.0.0.1:{listen}",
                      "--model=mlp", f"--data_dir={folder / 'data'}", "--epochs=1000000", "--ratio=0.1", "--threads=1",
                      f"--checkpoint_dir={folder / 'checkpoints'}",
                      f"--metrics_listen=127.0.0.1:{port}")
            start("prometheus", f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'tsdb'}",
                  f"--web.listen-address=127.0.0.1:{web}")

            def missing_targets():
                try:
                    up = [sample["value"][1] for sample in answer(web, "up")]
                except OSError as error:
                    return str(error)
                return None if up == ["1", "1", "1"] else f"up is {up}"

            wait_for(processes, missing_targets, "all targets up")
            unanswered = list(queries(dashboard, rate_interval="10s"))
            count = len(unanswered)

            def missing_answers():
                unanswered[:] = [(where, query) for where, query in unanswered if not answer(web, query)]
                return unanswered or None

            wait_for(processes, missing_answers, "queries without data")
            # No alert may fire for a run that is well.
            firing = answer(web, 'ALERTS{alertstate="firing"}')
            if firing:
                sys.exit(f"alerts fire: {firing}")
            print(f"{count} queries answered with data")
        finally:
            for process in processes:
                process.kill()
                process.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
