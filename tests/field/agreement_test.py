#!/usr/bin/python3
"""What the processes of one training must have alike: whoever differs is told so and stops.

usage: agreement_test.py FOLDER_OF_PROGRAMS [TEST...]
"""

import shutil

import programs
from programs import FieldTest


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


if __name__ == "__main__":
    programs.main()
