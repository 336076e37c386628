#!/usr/bin/python3
"""What a training says of itself: success is a result, silence is explained, and the machine is shared.

usage: training_test.py FOLDER_OF_PROGRAMS [TEST...]
"""

import json
import os
import pathlib
import signal
import unittest

import programs
from programs import FieldTest, wait_for

DIVERGES = "--lr=1e30"


def processes(*words):
    """Process ids of those whose command line holds all of the words."""
    found = []
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_text().split("\0")
        except OSError:
            continue
        if all(any(word in part for part in command) for word in words):
            found.append(int(entry.name))
    return found


class Results(FieldTest):
    def test_a_run_that_diverges_fails_and_names_the_flag(self):
        few = self.train("few", DIVERGES, "--workers=2", "--servers=1", "--worker_flags=--max_skipped_steps=5")
        self.assertEqual(few.code, 1)
        self.assertIn("the last 5 steps were skipped", few.words())
        self.assertIn("lower --lr (--max_skipped_steps", few.words())
        self.assertEqual(self.report("few")["state"], "failed")

        most = self.train("most", DIVERGES, "--workers=2", "--servers=1", "--worker_flags=--max_skipped_steps=0")
        self.assertEqual(most.code, 1)
        self.assertIn("the result is not what was asked for", most.words())
        self.assertIn("steps were skipped", self.report("most")["problems"][0])
        self.assertTrue((self.folder / "most" / "model.pt").exists())

    def test_a_worker_started_by_hand_fails_too(self):
        _, address = self.start_server("--workers=1", DIVERGES)
        worker = self.start_worker(address, "--max_skipped_steps=0")
        self.assertEqual(worker.wait(), 1)
        self.assertIn("the training is over, but diverged: most steps were skipped", worker.words())

    def test_a_good_run_says_what_the_servers_trained(self):
        self.assertEqual(self.train("run", "--workers=2", "--servers=2").code, 0)
        report = self.report("run")
        self.assertEqual(report["problems"] + report["notes"], [])
        self.assertEqual(report["servers_version"], 2 * 640 // (2 * 16) + 1)


    def test_the_report_follows_the_cluster_not_one_worker(self):
        run = self.start("cddp", "train", *self.small, "--epochs=100", "--workers=2", "--servers=1", "--durable",
                         "--server_flags=--lease=1s", f"--output={self.folder}/run")
        run.until("epoch ")
        servers = run.output().split("--servers=")[1].split()[0]
        version = lambda: int(json.loads(self.run_to_end("cddp", "status", "--json", f"--servers={servers}").output())
                              ["servers"][0]["status"]["min_version"])
        worker, = processes("cddp-worker", "--rank=0", f"{self.folder}/")
        os.kill(worker, signal.SIGSTOP)
        self.addCleanup(continue_if_there, worker)
        stopped_at = version()
        wait_for(lambda: version() > stopped_at + 100, "steps without worker 0")  # five epochs
        os.kill(worker, signal.SIGCONT)
        self.assertEqual(run.wait(), 0, run.words())
        report = self.report("run")
        self.assertEqual([epoch["epoch"] for epoch in report["epochs"]], list(range(1, 101)))
        self.assertEqual(report["steps"], 100 * 20)
        self.assertEqual(report["servers_version"], 100 * 20 + 1)
        self.assertIn("worker 0 missed ", "".join(report["notes"]))


class Silence(FieldTest):
    def test_the_terminal_says_whom_the_cluster_waits_for(self):
        run = self.start("cddp", "train", *self.small, "--epochs=100000", "--workers=2", "--servers=1", "--durable",
                         f"--output={self.folder}/run")
        run.until("epoch ")
        worker, = processes("cddp-worker", "--rank=1", f"{self.folder}/")
        os.kill(worker, signal.SIGSTOP)
        self.addCleanup(continue_if_there, worker)
        run.until("the servers wait for worker 1, for ")
        os.kill(worker, signal.SIGCONT)
        run.process.send_signal(signal.SIGINT)
        self.assertEqual(run.wait(), 130)
        self.assertIn("cddp: SIGINT: the workers finish their step and save their state", run.words())


def continue_if_there(process):
    try:
        os.kill(process, signal.SIGCONT)
    except ProcessLookupError:
        pass


class Machine(FieldTest):
    def test_threads_wait_without_spinning(self):
        environment = {name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
        _, address = self.start_server("--workers=2")
        for rank, given, wanted in ((0, {}, "passive"), (1, {"OMP_WAIT_POLICY": "active"}, "active")):
            worker = self.start_worker(address, f"--rank={rank}", "--workers=2", "--epochs=100000",
                                       env={**environment, **given})
            worker.until("event=joined")
            proc = pathlib.Path(f"/proc/{worker.process.pid}")
            self.assertIn(f"OMP_WAIT_POLICY={wanted}", (proc / "environ").read_text().split("\0"))
            self.assertEqual((proc / "comm").read_text(), "cddp-worker\n")

    def test_threads_follow_the_affinity(self):
        one = min(os.sched_getaffinity(0))
        run = self.train("run", "--workers=1", "--servers=1", preexec_fn=lambda: os.sched_setaffinity(0, {one}))
        self.assertEqual(run.code, 0)
        self.assertEqual(self.report("run")["configuration"]["threads"], 1)


if __name__ == "__main__":
    programs.main()
