"""A cluster of servers and workers on this machine that a real Prometheus scrapes every second, with the delivered rules."""

import json
import pathlib
import socket
import subprocess
import tempfile
import time

from monitoring import MONITORING, answer

DEADLINE = 120  # seconds for anything that is waited for, unless told otherwise


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class MonitoredRun:
    """Context manager: the processes are gone when it ends, and with them `folder`. Failures end the program."""

    def __init__(self, programs, servers, workers):
        self._programs = pathlib.Path(programs)
        self._counts = {"cddp-server": servers, "cddp-worker": workers}
        self._metrics = {job: sorted(free_port() for _ in range(count)) for job, count in self._counts.items()}
        self._listen = [free_port() for _ in range(servers)]
        self.prometheus_port = free_port()
        self.servers, self.workers, self._others = [], [], []

    def __enter__(self):
        self._temporary = tempfile.TemporaryDirectory()
        self.folder = pathlib.Path(self._temporary.name)
        return self

    def __exit__(self, *_):
        for process in (*self.workers, *self.servers, *self._others):
            process.kill()
            process.wait()
        self._temporary.cleanup()

    def start(self, server_flags, worker_flags):
        """Starts everything; it is up when `targets` are."""
        for shard, listen in enumerate(self._listen):
            self.servers.append(self._start(
                self._programs / "cddp-server", f"--listen=127.0.0.1:{listen}", f"--shard={shard}",
                f"--shards={len(self._listen)}", f"--workers={self._counts['cddp-worker']}",
                f"--state_dir={self.folder / f'state-{shard}'}",
                f"--metrics_listen=127.0.0.1:{self._metrics['cddp-server'][shard]}", *server_flags))
        addresses = ",".join(f"127.0.0.1:{port}" for port in self._listen)
        for rank, metrics in enumerate(self._metrics["cddp-worker"]):
            self.workers.append(self._start(
                self._programs / "cddp-worker", f"--rank={rank}", f"--workers={self._counts['cddp-worker']}",
                f"--servers={addresses}", f"--checkpoint_dir={self.folder / 'checkpoints'}",
                f"--metrics_listen=127.0.0.1:{metrics}", *worker_flags))
        targets = "".join(
            f"  - job_name: {job}\n    static_configs: [{{targets: {json.dumps([f'127.0.0.1:{p}' for p in ports])}}}]\n"
            for job, ports in self._metrics.items())
        (self.folder / "prometheus.yml").write_text(
            "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
            f"rule_files: [{MONITORING}/recording.yml, {MONITORING}/alerts.yml]\nscrape_configs:\n{targets}")
        self._others.append(self._start(
            "prometheus", f"--config.file={self.folder / 'prometheus.yml'}", f"--storage.tsdb.path={self.folder / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{self.prometheus_port}"))

    def _start(self, *command):
        number = len(self.workers) + len(self.servers) + len(self._others)
        with open(self.folder / f"log-{number}", "w") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        process.log = self.folder / f"log-{number}"
        return process

    def wait_for_targets(self):
        def missing():
            try:
                up = [sample["value"][1] for sample in answer(self.prometheus_port, "up")]
            except OSError as error:
                return str(error)
            return None if up == ["1"] * sum(self._counts.values()) else f"up is {up}"

        self.wait_for(missing, "all targets up")

    def wait_for(self, condition, what, deadline=DEADLINE):
        """Until `condition` returns None; what it returns else is told at the deadline. No process may end meanwhile."""
        end = time.monotonic() + deadline
        while (result := condition()) is not None:
            for process in (*self.workers, *self.servers, *self._others):
                if process.poll() is not None:
                    raise SystemExit(f"{process.args[0]} ended with {process.returncode} while waiting for {what}:\n"
                                     f"{process.log.read_text()}")
            if time.monotonic() > end:
                raise SystemExit(f"{what}: {result}")
            time.sleep(0.2)

    def wait_for_workers(self, deadline):
        """Until all workers have done their epochs."""
        end = time.monotonic() + deadline
        for process in self.workers:
            try:
                code = process.wait(max(0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                raise SystemExit(f"workers still train after {deadline} s:\n{process.log.read_text()}")
            if code != 0:
                raise SystemExit(f"{process.args[0]} ended with {code}:\n{process.log.read_text()}")
