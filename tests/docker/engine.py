"""A Docker engine for a test: the one that runs, or one of the test's own, which is gone after it."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import time

from packet_filter import PacketFilter


class NoEngine(Exception):
    """No Docker engine can run here; says why."""


def _answers():
    return subprocess.run(["docker", "info"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


class Engine:
    """Context manager. Within it, `docker` of this process's environment reaches the engine."""

    def __enter__(self):
        self._daemon = None
        for program in ("docker", "dockerd", "iptables-save"):
            if not shutil.which(program):
                raise NoEngine(f"{program} is not installed (scripts/setup --tests)")
        if _answers():
            return self
        if os.geteuid() != 0:
            raise NoEngine("no Docker engine answers, and only root can start one")
        # The kernel's overlays need a real file system below, which /tmp may not be.
        self._folder = pathlib.Path(tempfile.mkdtemp(prefix="cddp-docker-", dir="/var/tmp"))
        self._before = os.environ.get("DOCKER_HOST")
        self._filter = PacketFilter()
        os.environ["DOCKER_HOST"] = f"unix://{self._folder}/socket"
        self._log = open(self._folder / "log", "w")
        self._daemon = subprocess.Popen(
            ["dockerd", f"--data-root={self._folder}/data", f"--exec-root={self._folder}/exec",
             f"--pidfile={self._folder}/pid", f"--host={os.environ['DOCKER_HOST']}", "--bridge=none"],
            stdout=self._log, stderr=self._log)
        end = time.monotonic() + 60
        while not _answers():
            if self._daemon.poll() is not None or time.monotonic() > end:
                last = (self._folder / "log").read_text().strip().splitlines()[-1:]
                self.__exit__()
                raise NoEngine(f"dockerd does not start: {last}")
            time.sleep(0.2)
        return self

    def __exit__(self, *_):
        if self._daemon is None:
            return
        self._daemon.terminate()
        try:
            self._daemon.wait(60)
        except subprocess.TimeoutExpired:
            self._daemon.kill()
            self._daemon.wait()
        self._log.close()
        self._filter.restore()
        # What a daemon leaves mounted would keep its folder alive.
        mounts = [line.split()[1] for line in pathlib.Path("/proc/mounts").read_text().splitlines()]
        for mount in sorted((m for m in mounts if m.startswith(str(self._folder))), reverse=True):
            subprocess.run(["umount", mount])
        shutil.rmtree(self._folder, ignore_errors=True)
        if self._before is None:
            del os.environ["DOCKER_HOST"]
        else:
            os.environ["DOCKER_HOST"] = self._before
