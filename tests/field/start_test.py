#!/usr/bin/python3
"""One of N workers never comes: the others say whom they wait for, and go on without it, or end, as flags say.

usage: start_test.py FOLDER_OF_PROGRAMS [TEST...]
"""

import signal
import unittest

import programs
from programs import FieldTest


class Start(FieldTest):
    def test_all_say_whom_they_wait_for(self):
        server, address = self.start_server("--workers=3", "--lease=1s")
        workers = [self.start_worker(address, f"--rank={rank}", "--workers=3") for rank in (0, 2)]
        for worker in workers:
            worker.until("event=step_waits for_workers=1 seconds=")
        server.until("event=round_waits seconds=")
        self.assertIn("for_ranks=1 ", server.words())
        last = self.start_worker(address, "--rank=1", "--workers=3")
        for worker in (*workers, last):
            self.assertEqual(worker.wait(), 0, worker.words())

    def test_the_rest_begins_without_it_and_it_may_come_later(self):
        servers = [self.start_server("--workers=3", "--shards=2", f"--shard={shard}", "--start_timeout=10s",
                                     "--min_workers=2") for shard in (0, 1)]
        addresses = ",".join(address for _, address in servers)
        flags = ["--workers=3", "--bucket_bytes=8192", "--epochs=100000", "--progress=json"]
        workers = [self.start_worker(addresses, f"--rank={rank}", *flags) for rank in (0, 1)]
        for server, _ in servers:
            server.until("event=begun_without ranks=2 ")
        for worker in workers:
            worker.until('"event":"epoch"')
        late = self.start_worker(addresses, "--rank=2", *flags)
        late.until('"event":"epoch"')
        for worker in workers:
            self.assertIsNone(worker.process.poll())

    def test_too_few_end(self):
        for name, ranks, flags, words in (
                ("all are wanted", [0], [], "1 of 2 workers are there, without 1; at least 2 are wanted (--min_workers)"),
                ("worker 0 is missing", [1], ["--min_workers=1"], "without 0, and worker 0 has the initial weights")):
            with self.subTest(name):
                server, address = self.start_server("--workers=2", "--start_timeout=1s", *flags)
                workers = [self.start_worker(address, f"--rank={rank}", "--workers=2") for rank in ranks]
                self.assertEqual(server.wait(), 1)
                self.assertIn(words, server.words().splitlines()[-1] + server.words())
                for worker in workers:
                    self.assertEqual(worker.wait(), 1)
                    self.assertIn(words, worker.words())

    def test_more_than_the_servers_have_is_refused_with_what_to_do(self):
        _, address = self.start_server("--workers=2")
        worker = self.start_worker(address, "--rank=2", "--workers=3")
        self.assertEqual(worker.wait(), 2)
        self.assertIn("a run never has more workers than its servers' --workers", worker.words())
        self.assertIn("--min_workers and --start_timeout", worker.words())
        worker = self.start_worker(address, "--rank=auto", "--workers=3")
        self.assertEqual(worker.wait(), 2)
        self.assertIn("the most workers that there may ever be", worker.words())

    def test_a_worker_that_reached_one_of_two_servers_only(self):
        """The other server waits for it, and all say so; its successor takes its place."""
        servers = [self.start_server("--workers=2", "--shards=2", f"--shard={shard}", "--lease=1s") for shard in (0, 1)]
        addresses = [address for _, address in servers]
        flags = ["--workers=2", "--bucket_bytes=8192"]
        first = self.start_worker(",".join(addresses), "--rank=0", *flags)
        half = self.start_worker(f"{addresses[0]},127.0.0.1:1", "--rank=1", *flags)
        servers[0][0].until("event=join rank=1 ")
        programs.end(half.process)
        first.until("event=step_waits for_workers=1 seconds=")
        servers[1][0].until("for_ranks=1 ")
        last = self.start_worker(",".join(addresses), "--rank=1", *flags)
        for worker in (first, last):
            self.assertEqual(worker.wait(), 0, worker.words())

    def test_one_of_two_does_not_come_back_after_all_were_killed(self):
        state = f"--state_dir={self.folder}/state"
        server, address = self.start_server("--workers=2", "--lease=2s", state)
        flags = ["--workers=2", "--epochs=100000", "--progress=json"]
        workers = [self.start_worker(address, f"--rank={rank}", *flags) for rank in (0, 1)]
        workers[0].until('"event":"epoch"')
        for process in (server, *workers):
            programs.end(process.process)
        again = self.start("cddp-server", f"--listen={address}", "--metrics_listen=", "--workers=2", "--lease=2s", state)
        worker = self.start_worker(address, "--rank=0", *flags)
        again.until("event=worker_lost rank=1 ")  # as one that falls silent
        worker.until('"event":"epoch"')


TAKES_PART = """
import os, signal, sys, time, numpy, cddp
rank = int(os.environ["RANK"])
if rank == 1 and "HOW" in os.environ:
    exec(os.environ["HOW"])
weights = numpy.zeros(100, numpy.float32)
with cddp.Arrays({"weights": weights}, ratio=1.0, bucket_bytes=128) as training:
    for step in range(4):
        weights += 1
        training.step()
print("rank", rank, "is done", flush=True)
"""


@unittest.skipUnless(programs.has_module("numpy"), f"{programs.PYTHON} has no numpy")
class Programs(FieldTest):
    """cddp run, and workers of the Python library."""

    def test_a_program_that_ends_and_never_took_part(self):
        run = self.run_script("run", TAKES_PART, "--workers=2", "--servers=2", HOW="sys.exit()")
        self.assertEqual(run.code, 1)
        self.assertIn("the servers wait for rank 1, whose program has ended well, but never took part", run.words())
        self.assertEqual(self.report("run")["state"], "failed")

    def test_the_rest_may_begin_without_it(self):
        run = self.run_script("run", TAKES_PART, "--workers=2", "--servers=2", "--start_timeout=2s", "--min_workers=1",
                              HOW="sys.exit()")
        self.assertEqual(run.code, 0, run.words())
        self.assertIn("rank 0 is done", run.output())

    def test_the_terminal_says_whom_all_wait_for(self):
        words, options = self.python(TAKES_PART, HOW="time.sleep(1000)")
        run = self.start("cddp", "run", f"--output={self.folder}/run", "--workers=2", "--", *words, **options)
        run.until("the servers wait for worker 1, for ")
        run.process.send_signal(signal.SIGINT)
        self.assertEqual(run.wait(), 130)

    def test_a_worker_by_hand_says_it_too_and_can_be_stopped(self):
        _, address = self.start_server("--workers=2", "--optimizer=sgd", "--lr=1", "--momentum=0")
        worker = self.start_python(TAKES_PART, CDDP_SERVERS=address, RANK="0", WORLD_SIZE="2")
        worker.until("event=step_waits for_workers=1 seconds=")
        worker.process.send_signal(signal.SIGINT)
        worker.wait()
        self.assertIn("KeyboardInterrupt", worker.words())


if __name__ == "__main__":
    programs.main()
