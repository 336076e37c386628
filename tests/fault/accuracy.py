#!/usr/bin/python3
"""What it costs in accuracy that workers die and new processes, without a checkpoint, take their places: trains
simple_cnn on MNIST with 2 servers and 4 workers twice from one seed, undisturbed and with kills at random moments.

usage: accuracy.py FOLDER_OF_PROGRAMS --kills=N [--epochs=3] [--seed=1] [--data_dir=data/mnist]

Lines "result NAME VALUE UNIT" at the end. Exits with 1, keeping its folder with all logs, if the accuracy is lower by
more than 0.3 points, or anything else is wrong.
"""

import argparse
import pathlib
import random
import re
import shutil
import signal
import sys
import tempfile
import time
import urllib.request

from processes import Process

SERVERS = 2
WORKERS = 4
MOST_DIFFERENCE = 0.3  # points
PATIENCE = 600


class Training:
    """One training in a folder of its own."""

    def __init__(self, programs, folder, arguments):
        folder.mkdir()
        self.programs, self.folder, self.arguments = programs, folder, arguments
        self.servers, self.workers = [], []

    def start(self):
        self.servers = [Process(f"server-{shard}", [
            self.programs / "cddp-server", "--listen=127.0.0.1:0", "--metrics_listen=127.0.0.1:0", "--progress=json",
            f"--shard={shard}", f"--shards={SERVERS}", f"--workers={WORKERS}", "--lease=2s"], self.folder)
            for shard in range(SERVERS)]
        for server in self.servers:
            server.start()
        addresses = ",".join(self.listening(server)["address"] for server in self.servers)
        self.workers = [Process(f"worker-{rank}", [
            self.programs / "cddp-worker", f"--rank={rank}", f"--workers={WORKERS}", f"--servers={addresses}",
            "--model=simple_cnn", f"--epochs={self.arguments.epochs}", f"--seed={self.arguments.seed}",
            f"--data_dir={self.arguments.data_dir}", "--metrics_listen=", "--progress=json"], self.folder)
            for rank in range(WORKERS)]
        for worker in self.workers:
            worker.start()

    def wait(self, condition, what):
        end = time.monotonic() + PATIENCE
        while not (value := condition()):
            for process in self.servers + self.workers:
                if not process.alive() and process.popen.returncode != 0:
                    raise RuntimeError(f"{process.name} ended with {process.popen.returncode}; see {process.err}")
            if time.monotonic() > end:
                raise TimeoutError(f"after {PATIENCE} s it did not come: {what}")
            time.sleep(0.05)
        return value

    def listening(self, server):
        return self.wait(lambda: server.last_event("listening"), f"{server.name} listens")

    def version(self):
        address = self.listening(self.servers[0])["metrics_address"]
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=30) as answer:
            return float(re.search(r"^cddp_server_min_version\{.*\} (\S+)", answer.read().decode(), re.M).group(1))

    def kill_workers(self, kills, chooser):
        """A process in whose place another comes, that often, at moments spread over the run."""
        joined = self.wait(lambda: self.workers[0].last_event("joined"), "a worker joins")
        part = 0.95 * self.arguments.epochs * joined["steps_per_epoch"] / kills  # nobody is killed who might be done
        for kill in range(kills):
            moment = (kill + chooser.random()) * part
            self.wait(lambda moment=moment: self.version() > moment, f"version {moment:.0f}")
            victim = chooser.choice(self.workers)
            victim.kill()
            victim.start()

    def finish(self):
        """Accuracy in percent, and whether all replicas were equal."""
        self.wait(lambda: not any(worker.alive() for worker in self.workers), "the end")
        ends = {(end["steps"], end["weights_crc32c"]) for end in (worker.last_event("done") for worker in self.workers)}
        last = self.workers[0].last_event("epoch")
        if last["epoch"] != self.arguments.epochs:
            raise RuntimeError(f"worker 0 last told of epoch {last['epoch']}")
        self.end()
        return 100 * last["test_accuracy"], len(ends) == 1

    def end(self):
        for process in self.workers + self.servers:
            process.send(signal.SIGKILL)
        for process in self.workers + self.servers:
            if process.popen is not None:
                process.popen.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("programs", type=pathlib.Path)
    parser.add_argument("--kills", type=int, required=True)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--data_dir", type=pathlib.Path, default=pathlib.Path("data/mnist"))
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = pathlib.Path(tempfile.mkdtemp(prefix="cddp-accuracy-"))
    results = []
    good = False
    training = None
    try:
        for name, kills in (("undisturbed", 0), ("kills", arguments.kills)):
            training = Training(arguments.programs.resolve(), folder / name, arguments)
            training.start()
            if kills:
                training.kill_workers(kills, random.Random(arguments.seed))
            results.append(training.finish())
        difference = results[0][0] - results[1][0]
        equal = all(equal for _, equal in results)
        print(f"result accuracy_worker_kills {arguments.kills} workers")
        print(f"result accuracy_undisturbed {results[0][0]:.2f} %")
        print(f"result accuracy_with_kills {results[1][0]:.2f} %")
        print(f"result accuracy_difference {difference:.2f} points")
        print(f"result accuracy_replicas_equal {int(equal)} bool")
        good = equal and difference <= MOST_DIFFERENCE
    finally:
        if training is not None:
            training.end()
        if good:
            shutil.rmtree(folder)
        else:
            print(f"logs are in {folder}")
    print("PASSED" if good else f"FAILED with --seed={arguments.seed}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
