#!/usr/bin/python3
"""A run has an identity: nothing there is never taken for a first start, and no other run for this one.

usage: run_identity_test.py FOLDER_OF_PROGRAMS [TEST...]
"""

import json
import shutil

import programs
from programs import FieldTest, end, wait_for

LOST = "this server holds no run: it has lost its state"


class ByHand(FieldTest):
    def start_workers(self, address, count, *flags):
        return [self.start_worker(address, f"--rank={rank}", f"--workers={count}", "--progress=json", *flags)
                for rank in range(count)]

    def status(self, address):
        return json.loads(self.run_to_end("cddp", "status", "--json", f"--servers={address}").output())["servers"][0]["status"]

    def test_a_server_that_has_lost_its_state_does_not_begin_anew_under_workers_in_a_loop(self):
        server, address = self.start_server("--workers=2")
        workers = self.start_workers(address, 2, "--epochs=100000")
        workers[0].until('"event":"epoch"')
        run = self.status(address)["run"]
        end(server.process)
        again = lambda *flags: self.start("cddp-server", f"--listen={address}", "--metrics_listen=", "--workers=2",
                                          "--progress=json", *flags)
        server = again()
        for worker in workers:
            self.assertEqual(worker.wait(), 2)
            self.assertIn(f"run {run}, which has begun, but {LOST}", worker.words())
        for rank in (0, 1):  # the loop starts them once more
            worker = self.start_worker(address, f"--rank={rank}", "--workers=2")
            self.assertEqual(worker.wait(), 2)
            self.assertIn(f"workers of run {run} have come to this server, which has lost its state", worker.words())
        self.assertEqual(int(self.status(address).get("min_version", 0)), 0)
        end(server.process)
        server = again("--begin_anew")
        for worker in self.start_workers(address, 2):
            self.assertEqual(worker.wait(), 0, worker.words())
        self.assertNotEqual(self.status(address)["run"], run)

    def test_a_name_by_flag_is_no_state(self):
        named = ["--run=mine", "--workers=1"]
        server, address = self.start_server(*named)
        worker = self.start_worker(address, "--run=mine", "--epochs=100000", "--progress=json")
        worker.until('"event":"epoch"')
        end(server.process)
        again = self.start("cddp-server", f"--listen={address}", "--metrics_listen=", "--progress=json", *named)
        self.assertEqual(worker.wait(), 2, worker.words())
        self.assertIn("holds nothing but its name: it has lost its state", worker.words())
        worker = self.start_worker(address, "--run=mine")  # the loop starts it once more
        self.assertEqual(worker.wait(), 2, worker.words())
        self.assertIn("workers of run mine have come to this server, which has lost its state", worker.words())
        self.assertIsNone(again.process.poll())

    def test_one_of_two_servers_that_has_lost_its_state_is_named(self):
        first, addresses = self.start_server("--shards=2", "--shard=0", f"--state_dir={self.folder}/state")
        second, address = self.start_server("--shards=2", "--shard=1", "--consistency=sync")
        worker = self.start_worker(f"{addresses},{address}", "--bucket_bytes=8192", "--progress=json", "--epochs=100000")
        worker.until('"event":"epoch"')
        end(worker.process)
        end(second.process)
        second = self.start("cddp-server", f"--listen={address}", "--metrics_listen=", "--shards=2", "--shard=1",
                            "--progress=json")
        second.until("listening")
        worker = self.start_worker(f"{addresses},{address}", "--bucket_bytes=8192")
        self.assertEqual(worker.wait(), 2)
        self.assertIn(f"server {address}: worker 0 is of run", worker.words())
        self.assertIn(LOST, worker.words())

    def test_a_stranger_does_not_get_a_living_workers_rank_and_a_successor_gets_a_dead_ones(self):
        server, address = self.start_server("--workers=1", "--lease=2s")
        worker = self.start_worker(address, "--progress=json", "--epochs=100000")
        worker.until('"event":"epoch"')
        stranger = self.start_worker(address, "--server_timeout=3s")
        self.assertEqual(stranger.wait(), 1)
        self.assertIn("another worker holds rank 0, and was heard of", stranger.words())
        self.assertIn("are two started with one --rank?", stranger.words())
        self.assertIsNone(worker.process.poll())
        # One of the same run may: its supervisor knows what it does.
        run = self.status(address)["run"]
        successor = self.start_worker(address, f"--run={run}", "--progress=json", "--epochs=100000")
        successor.until("event=caught_up")
        self.assertEqual(worker.wait(), 1)
        self.assertIn("another process holds rank 0", worker.words())
        end(successor.process)
        last = self.start_worker(address, "--epochs=100000", "--progress=json")
        last.until("event=caught_up")

    def test_another_runs_checkpoint_or_state_is_refused(self):
        runs = {}
        for name in ("a", "b"):
            server, address = self.start_server(f"--state_dir={self.folder}/state-{name}")
            worker = self.start_worker(address, f"--checkpoint_dir={self.folder}/checkpoints-{name}")
            self.assertEqual(worker.wait(), 0, worker.words())
            runs[name] = self.status(address)["run"]
            if name == "a":
                end(server.process)
        self.assertNotEqual(runs["a"], runs["b"])
        worker = self.start_worker(address, f"--checkpoint_dir={self.folder}/checkpoints-a")
        self.assertEqual(worker.wait(), 2)
        self.assertIn(f"worker 0 is of run {runs['a']}, but this server holds run {runs['b']}", worker.words())
        worker = self.start_worker(address, f"--run={runs['a']}")
        self.assertEqual(worker.wait(), 2)
        worker = self.start_worker(address, f"--run={runs['b']}", f"--checkpoint_dir={self.folder}/checkpoints-a")
        self.assertEqual(worker.wait(), 2)
        self.assertIn(f"holds run {runs['a']}, but this worker has --run={runs['b']}", worker.words())
        other = self.run_to_end("cddp-server", "--listen=127.0.0.1:0", "--metrics_listen=", f"--run={runs['b']}",
                                f"--state_dir={self.folder}/state-a")
        self.assertEqual(other.code, 2)
        self.assertIn(f"holds run {runs['a']}, but this server has --run={runs['b']}", other.words())
        none = self.run_to_end("cddp-server", "--listen=127.0.0.1:0", "--metrics_listen=", "--resume",
                               f"--state_dir={self.folder}/none")
        self.assertEqual(none.code, 2)
        self.assertIn("holds nothing of a run", none.words())

    def test_a_worker_whose_checkpoint_is_gone_says_so(self):
        _, address = self.start_server("--lease=1s", f"--state_dir={self.folder}/state")
        flags = (f"--checkpoint_dir={self.folder}/checkpoints", "--epochs=100000", "--progress=json")
        worker = self.start_worker(address, *flags)
        worker.until('"event":"epoch"')
        end(worker.process)
        shutil.rmtree(self.folder / "checkpoints")
        worker = self.start_worker(address, *flags)
        self.assertEqual(worker.wait(), 2)
        self.assertIn("holds no checkpoint of worker 0, but it has made ", worker.words())
        worker = self.start_worker(address, *flags, "--without_checkpoint")
        worker.until("event=caught_up")


class Train(FieldTest):
    def setUp(self):
        super().setUp()
        self.cluster = ["--workers=2", "--servers=2", "--bucket_bytes=8192", "--durable"]

    def interrupted(self, name):
        """A durable run that ended early; its folder."""
        run = self.start("cddp", "train", *self.small, "--epochs=40", *self.cluster, f"--output={self.folder}/{name}")
        run.until("epoch  1")
        run.process.terminate()
        run.wait()
        return self.folder / name

    def resume(self, folder, *flags):
        return self.run_to_end("cddp", "train", "--resume", f"--output={folder}", *flags)

    def test_a_resumed_run_misses_what_was_removed(self):
        folder = self.interrupted("run")
        run = json.loads((folder / "report.json").read_text())["run"]
        self.assertEqual(len(run), 16)
        kept = self.folder / "kept"
        shutil.copytree(folder, kept)
        for removed, reason in (
                (["state-0", "state-1", "checkpoints"], f"holds nothing of run {run}"),
                (["state-1"], f"state-1 holds nothing of run {run}"),
                (["checkpoints"], "holds no checkpoint of worker ")):
            with self.subTest(removed):
                for name in removed:
                    shutil.rmtree(folder / name)
                resumed = self.resume(folder)
                self.assertEqual(resumed.code, 2, resumed.words())
                self.assertIn(reason, resumed.words())
                self.assertIn("restore it from a copy", resumed.words())
                shutil.rmtree(folder)
                shutil.copytree(kept, folder)
        shutil.rmtree(folder / "checkpoints")
        resumed = self.resume(folder, "--without_checkpoint")
        self.assertEqual(resumed.code, 0, resumed.words())
        self.assertEqual(self.report("run")["run"], run)

    def test_a_resumed_run_knows_what_is_anothers(self):
        folder, other = self.interrupted("run"), self.interrupted("other")
        name = {f: json.loads((f / "report.json").read_text())["run"] for f in (folder, other)}
        shutil.move(folder / "checkpoints", self.folder / "own")
        shutil.copytree(other / "checkpoints", folder / "checkpoints")
        resumed = self.resume(folder)
        self.assertEqual(resumed.code, 2, resumed.words())
        self.assertIn(f"holds run {name[other]}, but this worker has --run={name[folder]}", resumed.words())
        shutil.rmtree(folder / "checkpoints")
        shutil.move(self.folder / "own", folder / "checkpoints")
        shutil.rmtree(folder / "state-0")
        shutil.copytree(other / "state-0", folder / "state-0")
        resumed = self.resume(folder)
        self.assertEqual(resumed.code, 2, resumed.words())
        self.assertIn(f"holds run {name[other]}, but this server has --run={name[folder]}", resumed.words())
        self.assertEqual(self.resume(other).code, 0)


if __name__ == "__main__":
    programs.main()
