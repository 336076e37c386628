#!/usr/bin/python3
"""Batch normalisation's running statistics are the cluster's: who joins has them, and what is exported is complete.

usage: buffers_test.py FOLDER_OF_PROGRAMS [TEST...]
"""

import json
import pathlib
import subprocess
import unittest

import programs
from programs import FieldTest, end

# Debian's, which has PyTorch.
PYTHON = "/usr/bin/python3"
CHECK = pathlib.Path(__file__).with_name("load_buffers.py")
HAS_TORCH = subprocess.run([PYTHON, "-c", "import torch"], capture_output=True).returncode == 0


class Buffers(FieldTest):
    def setUp(self):
        super().setUp()
        self.small += ["--workers=2", "--epochs=3"]

    def train_with_two(self, name, replace_rank_0, server_flags, worker_flags):
        """Trains with two workers; rank 0 may be killed after an epoch, and another takes its place in the `middle`, or at
        the `end`, when rank 1 is done. Returns a file with rank 0's model and one with the servers'."""
        _, address = self.start_server("--workers=2", "--lease=1s", f"--state_dir={self.folder}/{name}", *server_flags)
        output = f"--model_output={self.folder}/{name}.pt"
        first = self.start_worker(address, "--rank=0", "--progress=json", output, *worker_flags)
        second = self.start_worker(address, "--rank=1", *worker_flags)
        if replace_rank_0 != "never":
            first.until('"event":"epoch"')
            end(first.process)
            if replace_rank_0 == "end":
                self.assertEqual(second.wait(), 0, second.words())
            first = self.start_worker(address, "--rank=0", "--progress=json", output, *worker_flags)
        self.assertEqual(first.wait(), 0, first.words())
        self.assertEqual(second.wait(), 0, second.words())
        exported = self.folder / f"{name}.safetensors"
        checkpoint = self.run_to_end("cddp", "checkpoint", f"--servers={address}", f"--export_to={exported}")
        self.assertEqual(checkpoint.code, 0, checkpoint.words())
        return self.folder / f"{name}.pt", exported

    def accuracy_of(self, model, files):
        """In Python, of what both files hold alike."""
        check = subprocess.run([PYTHON, CHECK, model, self.folder / "data", *files], capture_output=True, text=True)
        self.assertEqual(check.returncode, 0, check.stdout + check.stderr)
        return json.loads(check.stdout)["accuracy"]

    @unittest.skipUnless(HAS_TORCH, f"{PYTHON} has no torch")
    def test_a_new_rank_0_saves_what_the_servers_hold_and_python_loads_both_strictly(self):
        overlapped = ("--lr=1", "--momentum=0"), ("--optimizer=adamw", "--lr=0.003", "--overlap=4")
        self.small.append("--model=bn_cnn")
        for name, replaced, flags in (("calm", "never", ((), ())), ("killed", "end", ((), ())),
                                      ("overlapped", "end", overlapped),
                                      ("steps_auto", "middle", (("--lr=1", "--momentum=0"),
                                                                ("--optimizer=adamw", "--lr=0.003",
                                                                 "--local_steps=auto")))):
            self.assertGreater(self.accuracy_of("bn_cnn", self.train_with_two(name, replaced, *flags)), 0.95, name)

    @unittest.skipUnless(HAS_TORCH, f"{PYTHON} has no torch")
    def test_a_new_rank_0_in_the_middle_of_resnet18_ends_as_without(self):
        self.small += ["--model=resnet18", "--train_examples=192", "--test_examples=100", "--batch_size=8"]
        flags = ("--lr=1", "--momentum=0"), ("--optimizer=adamw", "--lr=0.001", "--ratio=0.1")
        calm, replaced = (self.accuracy_of("resnet18", self.train_with_two(when, when, *flags))
                          for when in ("never", "middle"))
        self.assertGreater(calm, 0.9)
        self.assertAlmostEqual(replaced, calm, delta=0.1)


if __name__ == "__main__":
    programs.main()
