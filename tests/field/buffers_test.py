#!/usr/bin/python3
"""Batch normalisation's running statistics are the cluster's: who joins has them, and what is exported is complete.

usage: buffers_test.py FOLDER_OF_PROGRAMS [TEST...]
"""

import json
import pathlib
import signal
import subprocess
import unittest

import programs
from programs import PYTHON, FieldTest, end, wait_for

CHECK = pathlib.Path(__file__).with_name("load_buffers.py")
HAS_TORCH = programs.has_module("torch")


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
    def test_an_epochs_shorter_last_round_counts_as_what_it_is(self):
        """20 steps in rounds of 8: the new worker's counters, and the export's, are those of one that was there."""
        self.small.append("--model=bn_cnn")
        flags = ("--lr=1", "--momentum=0"), ("--optimizer=adamw", "--lr=0.003", "--local_steps=8")
        self.assertGreater(self.accuracy_of("bn_cnn", self.train_with_two("uneven", "end", *flags)), 0.8)

    @unittest.skipUnless(HAS_TORCH, f"{PYTHON} has no torch")
    def test_a_new_rank_0_in_the_middle_of_resnet18_ends_as_without(self):
        self.small += ["--model=resnet18", "--train_examples=192", "--test_examples=100", "--batch_size=8"]
        flags = ("--lr=1", "--momentum=0"), ("--optimizer=adamw", "--lr=0.001", "--ratio=0.1")
        calm, replaced = (self.accuracy_of("resnet18", self.train_with_two(when, when, *flags))
                          for when in ("never", "middle"))
        self.assertGreater(calm, 0.9)
        self.assertAlmostEqual(replaced, calm, delta=0.1)

    def test_all_are_killed_and_go_on_with_the_same_statistics(self):
        flags = ("--model=bn_cnn", "--servers=2", "--bucket_bytes=8192", "--optimizer=adamw", "--local_steps=2", "--epochs=6",
                 "--durable")
        calm = self.train("calm", *flags)
        self.assertEqual(calm.code, 0, calm.words())
        run = self.start("cddp", "train", *self.small, *flags, f"--output={self.folder}/killed", start_new_session=True)
        run.until("epoch  1" if "epoch  1" in calm.output() else "epoch 1")
        run.process.kill()  # its children end with it
        run.wait()
        resumed = self.run_to_end("cddp", "train", "--resume", f"--output={self.folder}/killed")
        self.assertEqual(resumed.code, 0, resumed.words())
        self.assertEqual((self.folder / "killed/model.pt").read_bytes(), (self.folder / "calm/model.pt").read_bytes())


# Two kinds of statistics: one that forgets, and the mean of all batches, whose weight is the counter's.
WORKER = """
import os, pathlib, signal, time, torch, cddp
rank, folder = int(os.environ["RANK"]), pathlib.Path(os.environ["FOLDER"])
torch.manual_seed(1)
model = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.BatchNorm1d(5, momentum=None), torch.nn.BatchNorm1d(5),
                            torch.nn.Linear(5, 2))
optimizer = cddp.DistributedOptimizer(torch.optim.SGD(model.parameters(), lr=0.05), model, local_steps=2, ratio=0.5,
                                      bucket_bytes=128, server_timeout="40s")
first = model[1].num_batches_tracked.item()
(folder / f"first-{rank}").write_text(str(first))
for step in range(first, 20):
    if rank == 0 and first == 0 and step == 8:
        os.kill(os.getpid(), signal.SIGKILL)
    while rank == 1 and step == 14 and not (folder / "go").exists():
        time.sleep(0.01)
    optimizer.zero_grad()
    model(torch.randn(16, 6) * (1 + rank) + 3 * rank).square().mean().backward()
    optimizer.step()
optimizer.leave()
torch.save(model.state_dict(), folder / f"model-{rank}.pt")
"""
COMPARE = """
import sys, torch
sys.path.insert(0, sys.argv[1])
from load_buffers import read_safetensors
one, other, exported = torch.load(sys.argv[2]), torch.load(sys.argv[3]), read_safetensors(sys.argv[4])
assert one.keys() == other.keys() == exported.keys(), exported.keys()
for name in one:
    assert torch.equal(one[name], other[name]), (name, one[name], other[name])
    assert torch.equal(one[name], exported[name]), (name, one[name], exported[name])
assert one["1.num_batches_tracked"] == one["2.num_batches_tracked"] == 20
assert one["1.running_mean"].abs().max() > 0.1
"""


@unittest.skipUnless(HAS_TORCH, f"{PYTHON} has no torch")
class Programs(FieldTest):
    """Of the Python package."""

    def test_who_takes_a_killed_workers_place_has_the_statistics_and_counters(self):
        _, address = self.start_server("--workers=2", "--lease=1s", "--optimizer=sgd", "--lr=1", "--momentum=0",
                                       f"--state_dir={self.folder}/state")
        start = lambda rank: self.start_python(WORKER, CDDP_SERVERS=address, WORLD_SIZE="2", RANK=str(rank),
                                               FOLDER=str(self.folder))
        killed, other = start(0), start(1)
        self.assertEqual(killed.wait(), -signal.SIGKILL, killed.words())
        successor = start(0)
        wait_for(lambda: (self.folder / "first-0").read_text() not in ("", "0") or successor.process.poll() is not None,
                 "the successor")
        (self.folder / "go").touch()
        for worker in (other, successor):
            self.assertEqual(worker.wait(), 0, worker.words())
        exported = self.folder / "model.safetensors"
        checkpoint = self.run_to_end("cddp", "checkpoint", f"--servers={address}", f"--export_to={exported}")
        self.assertEqual(checkpoint.code, 0, checkpoint.words())
        compare = subprocess.run([PYTHON, "-B", "-c", COMPARE, CHECK.parent, self.folder / "model-0.pt",
                                  self.folder / "model-1.pt", exported], capture_output=True, text=True)
        self.assertEqual(compare.returncode, 0, compare.stderr)


if __name__ == "__main__":
    programs.main()
