#!/usr/bin/python3
"""A worker that goes on from its checkpoint on another kind of processor says so, and sends what it had sent.

usage: arithmetic_test.py FOLDER_OF_PROGRAMS [TEST...]
"""

import os
import re

import programs
from programs import FieldTest, end


class Arithmetic(FieldTest):
    def killed_worker(self, *flags):
        """Of a run whose one checkpoint is the first; returns the servers' address and the worker's flags."""
        _, address = self.start_server("--log_versions=100000", f"--state_dir={self.folder}/state")
        own = (f"--checkpoint_dir={self.folder}/checkpoints", "--checkpoint_every=1000000", "--progress=json",
               "--epochs=100000", *flags)
        worker = self.start_worker(address, *own)
        worker.until('"event":"epoch"')
        end(worker.process)
        return address, own

    def made_again(self, worker):
        worker.until("event=steps_made_again")
        return tuple(map(int, re.search(r"steps_made_again buckets=(\d+) differed=(\d+)", worker.words()).groups()))

    def test_the_same_kind_sends_the_same_and_says_nothing(self):
        address, flags = self.killed_worker()
        buckets, differed = self.made_again(self.start_worker(address, *flags))
        self.assertGreaterEqual(buckets, 40)  # steps of an epoch, one bucket at least
        self.assertEqual(differed, 0)

    def test_another_kind_is_said(self):
        for name, environment, flags in (("vectors", {"ATEN_CPU_CAPABILITY": "default"}, ()),
                                         ("threads", {}, ("--threads=2",))):
            with self.subTest(name):
                self.doCleanups()
                self.setUp()
                address, own = self.killed_worker()
                worker = self.start_worker(address, *own, *flags, env={**os.environ, **environment})
                buckets, _ = self.made_again(worker)
                self.assertGreaterEqual(buckets, 40)
                self.assertIn("event=other_arithmetic", worker.words())
                self.assertRegex(worker.words(), rf'differs="{name}=\S+ there, {name}=\S+ here"')
                worker.until('"event":"epoch"')


if __name__ == "__main__":
    programs.main()
