#!/usr/bin/python3
"""One of N workers never comes: the others say whom they wait for, and go on without it, or end, as flags say.

usage: start_test.py FOLDER_OF_PROGRAMS [TEST...]
"""

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


if __name__ == "__main__":
    programs.main()
