#!/usr/bin/python3
"""A worker that goes on from its checkpoint on another kind of processor says so, and sends what it had sent.

usage: arithmetic_test.py FOLDER_OF_PROGRAMS [TEST...]
"""

import os
import re
import unittest

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

    def test_another_kind_sends_what_the_servers_have_counted(self):
        """Kernels of libraries that are chosen by the processor, which these variables stand for."""
        for name, value, model in (("OPENBLAS_CORETYPE", "Prescott", "mlp"), ("DNNL_MAX_CPU_ISA", "SSE41", "simple_cnn")):
            with self.subTest(name):
                self.doCleanups()
                self.setUp()
                address, own = self.killed_worker(f"--model={model}")
                worker = self.start_worker(address, *own, env={**os.environ, name: value})
                buckets, differed = self.made_again(worker)
                self.assertGreaterEqual(buckets, 40)
                if differed > 0:  # it does not where the library has one kernel only
                    self.assertIn("what was sent then was sent again, and the residual follows it", worker.words())
                worker.until('"event":"epoch"')


PROGRAM = """
import os, pickle, numpy, cddp
weights = numpy.zeros(100, numpy.float32)
training = cddp.Arrays({"weights": weights}, run="one")
if os.path.exists(os.environ["STATE"]):
    with open(os.environ["STATE"], "rb") as file:
        training.load_state_dict(pickle.load(file))
for step in range(3):
    weights += 1
    training.step()
with open(os.environ["STATE"], "wb") as file:
    pickle.dump(training.state_dict(), file)
print("saved", flush=True)
os._exit(0)
"""


@unittest.skipUnless(programs.has_module("numpy"), f"{programs.PYTHON} has no numpy")
class Programs(FieldTest):
    """The library cannot know what its program's steps were before; that they may be others is said."""

    def test_a_state_of_another_kind(self):
        _, address = self.start_server("--optimizer=sgd", "--lr=1", "--momentum=0", "--run=one")
        place = {"CDDP_SERVERS": address, "RANK": "0", "WORLD_SIZE": "1", "STATE": f"{self.folder}/state"}
        for environment, said in (({}, False), ({}, False), ({"OPENBLAS_CORETYPE": "Prescott"}, True)):
            program = self.start_python(PROGRAM, **place, **environment)
            self.assertEqual(program.wait(), 0, program.words())
            self.assertEqual("event=other_arithmetic" in program.words(), said, program.words())
        self.assertIn('differs="OPENBLAS_CORETYPE=none there, OPENBLAS_CORETYPE=Prescott here"', program.words())


if __name__ == "__main__":
    programs.main()
