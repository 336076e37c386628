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
import sys
import time
import urllib.request

from processes import Process, kill_all, run_in_folder

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

    def processes(self):
        return self.servers + self.workers

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
            for process in self.processes():
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
        return 100 * last["test_accuracy"], len(ends) == 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("programs", type=pathlib.Path)
    parser.add_argument("--kills", type=int, required=True)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--data_dir", type=pathlib.Path, default=pathlib.Path("data/mnist"))
    arguments = parser.parse_args()

    def train(name, kills, folder):
        training = Training(arguments.programs.resolve(), folder / name, arguments)
        try:
            training.start()
            if kills > 0:
                training.kill_workers(kills, random.Random(arguments.seed))
            return training.finish()
        finally:
            kill_all(training.processes())

    def run(folder):
        undisturbed, equal = train("undisturbed", 0, folder)
        with_kills, equal_with_kills = train("kills", arguments.kills, folder)
        equal = equal and equal_with_kills
        difference = undisturbed - with_kills
        print(f"result accuracy_worker_kills {arguments.kills} workers")
        print(f"result accuracy_undisturbed {undisturbed:.2f} %")
        print(f"result accuracy_with_kills {with_kills:.2f} %")
        print(f"result accuracy_difference {difference:.2f} points")
        print(f"result accuracy_replicas_equal {int(equal)} bool")
        return equal and difference <= MOST_DIFFERENCE

    return run_in_folder(run, arguments.seed, "cddp-accuracy-")


if __name__ == "__main__":
    sys.exit(main())
