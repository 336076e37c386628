#!/usr/bin/python3
"""What the processes of one training must have alike: whoever differs is told so and stops.

usage: agreement_test.py FOLDER_OF_PROGRAMS [TEST...]
"""

import json
import shutil
import unittest

import programs
from programs import FieldTest, wait_for


class Agreement(FieldTest):
    def test_a_worker_that_differs_stops_with_both_values(self):
        server, address = self.start_server("--workers=2")
        first = self.start_worker(address, "--rank=0", "--workers=2")
        server.until("event=agreement rank=0")
        other_data = self.folder / "other"
        shutil.copytree(self.folder / "data", other_data)
        images = other_data / "train-images-idx3-ubyte"
        images.write_bytes(images.read_bytes()[:-1] + b"\x07")
        for rank, flags, other, own in (
                ("1", ["--seed=43"], "--seed=43", "--seed=42"),
                ("1", ["--optimizer=sgd", "--local_steps=4"], "--local_steps=4", "--local_steps=1"),
                ("1", ["--optimizer=adamw"], "--optimizer=adamw", "--optimizer=none"),
                ("1", ["--epochs=3"], "--epochs=3", "--epochs=2"),
                ("1", ["--batch_size=8"], "--batch_size=8", "--batch_size=16"),
                ("1", ["--train_examples=600"], "--train_examples=600", "--train_examples=640"),
                ("1", ["--clip_norm=1"], "--clip_norm=1", "--clip_norm=0"),
                ("1", ["--momentum_correction=0.5"], "--momentum_correction=0.5", "--momentum_correction=0"),
                ("1", ["--model=simple_cnn"], "--model=simple_cnn", "--model=mlp"),
                ("1", ["--bucket_bytes=8192"], "--bucket_bytes=8192", "--bucket_bytes="),
                ("1", [f"--data_dir={other_data}"], "data_crc32c=", "data_crc32c="),
                ("auto", ["--seed=43"], "--seed=43", "--seed=42")):
            with self.subTest(f"{flags} rank={rank}"):
                worker = self.run_to_end("cddp-worker", f"--servers={address}", "--metrics_listen=", *self.small,
                                         f"--rank={rank}", "--workers=2", *flags)
                self.assertEqual(worker.code, 2, worker.words())
                said = worker.words().splitlines()[-1]
                self.assertIn(f"worker 1 has {other}", said)
                self.assertIn(f"but this training was begun with {own}", said)
                self.assertIn("(worker 0)", said)
        self.assertIsNone(first.process.poll())
        # One that differs in what may be its own takes part.
        second = self.start_worker(address, "--rank=1", "--workers=2", "--ratio=0.5", "--value_encoding=fp32",
                                   "--threads=2")
        self.assertEqual(first.wait(), 0)
        self.assertEqual(second.wait(), 0)

    def test_the_agreement_outlives_a_killed_server_and_a_replaced_worker(self):
        state = f"--state_dir={self.folder}/state"
        server, address = self.start_server("--workers=2", state)
        first = [self.start_worker(address, f"--rank={rank}", "--workers=2", "--epochs=100000", "--progress=json")
                 for rank in (0, 1)]
        first[0].until('"event":"epoch"')
        programs.end(server.process)
        for worker in first:
            programs.end(worker.process)
        again = self.start("cddp-server", f"--listen={address}", "--metrics_listen=", "--progress=json",
                           "--workers=2", state)
        again.until("listening")
        other = self.run_to_end("cddp-worker", f"--servers={address}", "--metrics_listen=", *self.small, "--rank=0",
                                "--workers=2", "--seed=43", "--epochs=100000")
        self.assertEqual(other.code, 2)
        self.assertIn("worker 0 has --seed=43, but this training was begun with --seed=42", other.words())
        workers = [self.start_worker(address, f"--rank={rank}", "--workers=2", "--epochs=100000", "--progress=json")
                   for rank in (0, 1)]
        for worker in workers:
            worker.until('"event":"epoch"')

    def test_labels_alone_that_differ(self):
        server, address = self.start_server("--workers=2")
        self.start_worker(address, "--rank=0", "--workers=2")
        server.until("event=agreement rank=0")
        labels = self.folder / "data" / "train-labels-idx1-ubyte"
        bytes_ = bytearray(labels.read_bytes())
        bytes_[-1] ^= 1
        labels.unlink()
        labels.write_bytes(bytes_)
        other = self.run_to_end("cddp-worker", f"--servers={address}", "--metrics_listen=", *self.small, "--rank=1",
                                "--workers=2")
        self.assertEqual(other.code, 2, other.words())
        self.assertIn("worker 1 has data_crc32c=", other.words())

    def test_data_that_changed_before_a_resume(self):
        """The servers' state remembers it, although no worker of before lives."""
        run = self.start("cddp", "train", *self.small, "--epochs=1000", "--workers=2", "--durable", f"--output={self.folder}/run")
        run.until("epoch  1")
        run.process.terminate()
        run.wait()
        images = self.folder / "data" / "train-images-idx3-ubyte"
        images.write_bytes(images.read_bytes()[:-1] + b"\x07")
        resumed = self.run_to_end("cddp", "train", "--resume", f"--output={self.folder}/run")
        self.assertEqual(resumed.code, 2, resumed.words())
        self.assertIn("data_crc32c=", resumed.words())

    def test_one_of_two_servers_that_went_back(self):
        """--restore_version at one alone: its weights are of another step than the other's, and that is said."""
        state = [f"--state_dir={self.folder}/state-{shard}" for shard in (0, 1)]
        servers = [self.start_server("--shards=2", f"--shard={shard}", state[shard], "--checkpoint_every=20",
                                     "--keep_checkpoints=2") for shard in (0, 1)]
        addresses = ",".join(address for _, address in servers)
        worker = self.start_worker(addresses, "--bucket_bytes=8192", "--epochs=1000", "--progress=json")
        wait_for(lambda: worker.output().count('"event":"epoch"') >= 2, "epochs")
        for program in (worker, *(server for server, _ in servers)):
            programs.end(program.process)
        versions = sorted(int(path.name.rsplit("-", 1)[1]) for path in (self.folder / "state-0").glob("checkpoint-*"))
        again = [self.start("cddp-server", f"--listen={address}", "--metrics_listen=", "--shards=2", f"--shard={shard}",
                            state[shard], *([f"--restore_version={versions[0]}"] if shard == 0 else []))
                 for shard, (_, address) in enumerate(servers)]
        for server in again:
            server.until("event=listening")
        worker = self.start_worker(addresses, "--bucket_bytes=8192")
        worker.until(f"event=server_went_back server={servers[0][1]} version={versions[0]} newest=")

    def test_a_join_that_failed_fixes_nothing(self):
        state = f"--state_dir={self.folder}/state"
        server, address = self.start_server("--workers=2", state)
        for flags, words in ((["--seed=42"], "is one of 1 servers, but --servers names 2"),
                             (["--model=simple_cnn"], "is one of 1 servers, but --servers names 2")):
            failed = self.run_to_end("cddp-worker", f"--servers={address},127.0.0.1:1", "--metrics_listen=", *self.small,
                                     "--rank=0", "--workers=2", "--bucket_bytes=8192", *flags)
            self.assertEqual(failed.code, 2)
            self.assertIn(words, failed.words())
        first = self.start_worker(address, "--rank=0", "--workers=2", "--seed=43")
        server.until("event=begun_again rank=0 ")
        first.until("event=run name=")
        # It holds now, and after a crash.
        other = self.run_to_end("cddp-worker", f"--servers={address}", "--metrics_listen=", *self.small, "--rank=1",
                                "--workers=2")
        self.assertIn("worker 1 has --seed=42, but this training was begun with --seed=43 (worker 0)", other.words())
        programs.end(server.process)
        again = self.start("cddp-server", f"--listen={address}", "--metrics_listen=", "--progress=json", "--workers=2",
                           state)
        again.until("listening")
        second = self.start_worker(address, "--rank=1", "--workers=2", "--seed=43")
        for worker in (first, second):
            self.assertEqual(worker.wait(), 0, worker.words())

    def test_servers_that_differ_are_named(self):
        _, first = self.start_server("--shards=2", "--shard=0")
        for flag in ("--lr=0.25", "--consistency=async", "--optimizer=adamw", "--lease=3s"):
            with self.subTest(flag):
                _, second = self.start_server("--shards=2", "--shard=1", flag)
                worker = self.run_to_end("cddp-worker", f"--servers={first},{second}", "--metrics_listen=",
                                         *self.small, "--bucket_bytes=8192")
                self.assertEqual(worker.code, 2)
                self.assertIn(f"server {second} has {flag}", worker.words())
                self.assertIn(f"but server {first} has {flag.split('=')[0]}=", worker.words())


ARRAYS = """
import json, os, numpy, cddp
given = json.loads(os.environ["GIVEN"])
arrays = {name: numpy.zeros(shape, numpy.float32) for name, shape in given.pop("arrays", {"a": [64], "b": [64]}).items()}
with cddp.Arrays(arrays, **{"ratio": 1.0, "agree": {"batch_size": 32}, **given}) as training:
    training.step()
"""


@unittest.skipUnless(programs.has_module("numpy"), f"{programs.PYTHON} has no numpy")
class Programs(FieldTest):
    """Of the library; what they compute themselves they name with `agree`."""

    def start_arrays(self, address, rank, **given):
        return self.start_python(ARRAYS, CDDP_SERVERS=address, RANK=str(rank), WORLD_SIZE="2", GIVEN=json.dumps(given))

    def test_a_program_that_differs_stops_with_both_values(self):
        server, address = self.start_server("--workers=2", "--optimizer=sgd", "--lr=1", "--momentum=0")
        first = self.start_arrays(address, 0)
        server.until("event=agreement rank=0")
        for words, given in (("batch_size=64, but this training was begun with batch_size=32", {"agree": {"batch_size": 64}}),
                             ("no batch_size, but this training was begun with batch_size=32", {"agree": {}}),
                             ("--local_steps=2, but this training was begun with --local_steps=1", {"local_steps": 2}),
                             ("model|layout", {"arrays": {"a": [64], "c": [64]}}),  # other names of the same shapes
                             ("model|layout", {"arrays": {"b": [64], "a": [64]}}),  # another order
                             ("model|layout", {"arrays": {"a": [32], "b": [96]}}),
                             ("model|layout|bucket", {"bucket_bytes": 128})):
            with self.subTest(given):
                other = self.start_arrays(address, 1, **given)
                self.assertEqual(other.wait(), 1)
                self.assertIn("cddp.errors.ConfigurationError", other.words().splitlines()[-1])
                self.assertRegex(other.words().splitlines()[-1], words)
        worker = self.run_to_end("cddp-worker", f"--servers={address}", "--metrics_listen=", *self.small, "--rank=1",
                                 "--workers=2")
        self.assertEqual(worker.code, 2, worker.words())
        self.assertIsNone(first.process.poll())
        same = self.start_arrays(address, 1, ratio=0.5)
        for program in (first, same):
            self.assertEqual(program.wait(), 0, program.words())


if __name__ == "__main__":
    programs.main()
