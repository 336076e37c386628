"""Servers, and `cddp run`, as real processes. CDDP_PROGRAMS names their folder, CDDP_LIBRARY the library."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAMS = pathlib.Path(os.environ.get("CDDP_PROGRAMS", ROOT / "build/release/bin")).resolve()
os.environ.setdefault("CDDP_LIBRARY", str(PROGRAMS.parent / "lib/libcddp.so.1"))
os.environ["PYTHONPATH"] = str(ROOT / "python")
sys.path[:0] = [str(ROOT / "python"), str(ROOT / "tests/support")]
from small_images import write_images  # noqa: E402  (tests/support is where it lies)

DEADLINE = 60  # seconds for anything that is waited for
AVERAGE = ("--optimizer=sgd", "--lr=1", "--momentum=0")


@pytest.fixture(autouse=True)
def no_place_in_the_environment(monkeypatch):
    for name in ("CDDP_SERVERS", "CDDP_OUTPUT", "CDDP_RUN", "CDDP_STATE", "RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def no_worker_is_left():
    yield
    from cddp import client
    for left in client.live():  # of a test that failed
        left.close()


@pytest.fixture
def start_servers():
    """start_servers(count, workers, *flags): their addresses, as CDDP_SERVERS has them."""
    processes = []

    def start(count=1, workers=1, *flags, average=True):
        mine = [subprocess.Popen([PROGRAMS / "cddp-server", "--listen=127.0.0.1:0", "--metrics_listen=", "--progress=json",
                                  f"--shard={shard}", f"--shards={count}", f"--workers={workers}",
                                  *(AVERAGE if average else ()), *flags],
                                 stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
                for shard in range(count)]
        processes.extend(mine)
        return ",".join(json.loads(process.stdout.readline())["address"] for process in mine)

    yield start
    for process in processes:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()


def together(*functions):
    """Calls all at once, each in a thread; their results, or the first exception."""
    outcomes = [None] * len(functions)

    def call(place):
        try:
            outcomes[place] = (functions[place](), None)
        except BaseException as error:  # noqa: BLE001: raised below
            outcomes[place] = (None, error)

    threads = [threading.Thread(target=call, args=(place,), daemon=True) for place in range(len(functions))]
    for thread in threads:
        thread.start()
    end = time.monotonic() + DEADLINE
    for thread in threads:
        thread.join(max(0, end - time.monotonic()))
    for outcome in outcomes:
        assert outcome is not None, "a worker hangs"
        if outcome[1] is not None:
            raise outcome[1]
    return [result for result, _ in outcomes]


class Run:
    """One `cddp run` of a script's text."""

    def __init__(self, folder, script, flags, arguments=()):
        self.folder = folder
        (folder / "script.py").write_text(script)
        self.output = folder / "out"
        self.out = open(folder / "stdout", "w+")
        self.process = subprocess.Popen(
            [PROGRAMS / "cddp", "run", f"--output={self.output}", *flags, "--", sys.executable, "-B",
             str(folder / "script.py"), *arguments],
            stdin=subprocess.DEVNULL, stdout=self.out, stderr=subprocess.STDOUT, cwd=folder)

    def wait(self):
        code = self.process.wait(3 * DEADLINE)
        self.out.seek(0)
        self.words = self.out.read()
        return code

    def until(self, condition, what):
        end = time.monotonic() + DEADLINE
        while not condition():
            assert self.process.poll() is None, f"ended with {self.process.returncode} before {what}: " + self.log(0)
            assert time.monotonic() < end, f"waited in vain for {what}"
            time.sleep(0.02)

    def log(self, rank):
        return "".join(path.read_text() for path in sorted(self.output.glob(f"logs/*worker-{rank}.log")))

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(DEADLINE)
        self.out.close()


@pytest.fixture
def start_run(tmp_path):
    """start_run(script, *flags): a Run, which ends with the test."""
    runs = []

    def start(script, *flags, arguments=()):
        runs.append(Run(tmp_path, script, flags, arguments))
        return runs[-1]

    yield start
    for run in runs:
        run.end()


@pytest.fixture
def images(tmp_path):
    """A data set of IDX files that is quick to learn: where the bright quarter lies."""
    folder = tmp_path / "data"
    write_images(folder, train=1280, test=200)
    return folder
