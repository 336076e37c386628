#!/usr/bin/python3
"""What a training says of itself: success is a result, silence is explained, and the machine is shared.

usage: training_test.py FOLDER_OF_PROGRAMS [TEST...]
"""

import json
import os
import pathlib
import signal
import time
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


def cgroup_of_one_core(name):
    """The folder of a new control group that may use one core, or None where we may make none."""
    root = pathlib.Path("/sys/fs/cgroup")
    for folder, files in ((root / "cpu" / name, {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "100000"}),
                          (root / name, {"cpu.max": "100000 100000"})):
        try:
            folder.mkdir()
        except OSError:
            continue
        try:
            for file, value in files.items():
                if not (folder / file).exists():
                    raise OSError
                (folder / file).write_text(value)
            return folder
        except OSError:
            folder.rmdir()
    return None


def processor_seconds(process):
    fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


FACTS = """
import os, time, numpy, cddp
print("facts", os.environ["OMP_NUM_THREADS"], os.environ["OMP_WAIT_POLICY"], flush=True)
weights = numpy.zeros(100, numpy.float32)
with cddp.Arrays({"weights": weights}) as training:
    training.step()
"""


class Machine(FieldTest):
    def expect_one_thread(self, preexec_fn):
        run = self.train("train", "--workers=1", "--servers=1", preexec_fn=preexec_fn)
        self.assertEqual(run.code, 0, run.words())
        self.assertEqual(self.report("train")["configuration"]["threads"], 1)
        if not programs.has_module("numpy"):
            return
        words, options = self.python(FACTS)
        for name in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
            options["env"].pop(name, None)
        for policy in ("passive", "active"):
            run = self.run_to_end("cddp", "run", f"--output={self.folder}/{policy}", "--workers=1", "--servers=1", "--", *words,
                                  preexec_fn=preexec_fn, **options)
            self.assertEqual(run.code, 0, run.words())
            self.assertIn(f"facts 1 {policy}\n", run.output())
            options["env"]["OMP_WAIT_POLICY"] = "active"  # a user's own counts

    def test_threads_follow_the_quota(self):
        group = cgroup_of_one_core(f"cddp-test-{os.getpid()}")
        if group is None:
            self.skipTest("no control group can be made here")
        self.addCleanup(group.rmdir)
        self.expect_one_thread(lambda: (group / "cgroup.procs").write_text(str(os.getpid())))

    def test_who_waits_takes_no_processor_time(self):
        """Servers, a worker whose step waits for another, and a program of the library's."""
        server, address = self.start_server("--workers=2")
        worker = self.start_worker(address, "--rank=0", "--workers=2")
        averaging, other = self.start_server("--workers=2", "--optimizer=sgd", "--lr=1", "--momentum=0")
        waiting = [server, averaging, worker]
        if programs.has_module("numpy"):
            place = {"CDDP_SERVERS": other, "RANK": "0", "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": ""}
            waiting.append(self.start_python(FACTS, **place))
            averaging.until("event=run name=")
        worker.until("event=run name=")
        before = [processor_seconds(program.process) for program in waiting]
        began = time.monotonic()
        worker.until("event=step_waits for_workers=1 seconds=")
        for program, used in zip(waiting, before):
            self.assertLess(processor_seconds(program.process) - used, (time.monotonic() - began) / 10, program.log)

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
        self.expect_one_thread(lambda: os.sched_setaffinity(0, {one}))


if __name__ == "__main__":
    programs.main()
