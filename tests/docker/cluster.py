"""One run of docker/compose.yaml, and what can be seen of it from outside."""

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time

SOURCE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE / "tests" / "deploy"))
from monitoring import answer  # noqa: E402

COMPOSE = ["docker-compose"] if shutil.which("docker-compose") else ["docker", "compose"]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Cluster:
    """Context manager: up when it begins; its containers, networks and volumes are gone when it ends."""

    def __init__(self, project, images, files=("compose.yaml",), **settings):
        self._port = free_port()
        self._compose = [*COMPOSE, f"--project-name={project}"]
        for file in files:
            self._compose += ["--file", str(SOURCE / "docker" / file)]
        self._environment = {
            **os.environ,
            "CDDP_SERVER_IMAGE": images.name("server"),
            "CDDP_WORKER_IMAGE": images.name("worker"),
            "PROMETHEUS_IMAGE": images.name("prometheus"),
            "PROMETHEUS_PORT": str(self._port),
            **settings,
        }

    def _run(self, *arguments, **options):
        return subprocess.run([*self._compose, *arguments], env=self._environment, check=True, text=True, **options)

    def run_in(self, service, *command):
        """Of a command in a service's container: exit code and output."""
        return subprocess.run([*self._compose, "exec", "-T", service, *command], env=self._environment, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def __enter__(self):
        # Not Grafana, of which Debian has no package.
        services = ["server-0", "server-1", "worker", "prometheus"]
        try:
            self._run("--profile=monitoring", "up", "--detach", "--no-build", *services)
        except subprocess.CalledProcessError:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, error, *_):
        if error is not None:
            subprocess.run([*self._compose, "logs", "--tail=40"], env=self._environment)
        subprocess.run([*self._compose, "--profile=monitoring", "down", "--volumes", "--remove-orphans", "--timeout=3"],
                       env=self._environment, stderr=subprocess.DEVNULL)

    def containers(self, service):
        """What `docker inspect` says of a service's containers."""
        ids = self._run("ps", "--quiet", service, stdout=subprocess.PIPE).stdout.split()
        return json.loads(subprocess.check_output(["docker", "inspect", *ids]))

    def kill(self, container):
        """As a crash does; `docker kill` would tell the engine that the container's end is wanted."""
        os.kill(container["State"]["Pid"], signal.SIGKILL)

    def logs(self, container):
        done = subprocess.run(["docker", "logs", container["Id"]], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, check=True)
        return done.stdout

    def ask(self, expression):
        """Prometheus' answer: pairs of labels and value."""
        return [(sample["metric"], float(sample["value"][1])) for sample in answer(self._port, expression)]

    def answers(self, expression):
        return bool(answer(self._port, expression))

    def await_condition(self, what, condition, seconds):
        """`condition` returns None once it holds, else what is still missing."""
        begin = time.monotonic()
        while True:
            try:
                missing = condition()
            except OSError as error:
                missing = str(error)
            if missing is None:
                print(f"  {time.monotonic() - begin:5.0f} s  {what}", flush=True)
                return
            if time.monotonic() - begin > seconds:
                raise AssertionError(f"{what}: not within {seconds} s: {missing}")
            time.sleep(0.5)

    def await_targets(self, servers, workers):
        def missing():
            up = [metric["job"] for metric, value in self.ask("up") if value == 1]
            seen = (up.count("cddp-server"), up.count("cddp-worker"))
            return None if seen == (servers, workers) else f"{seen[0]} servers and {seen[1]} workers are up"

        self.await_condition(f"Prometheus scrapes {servers} servers and {workers} workers", missing, 180)
