#!/usr/bin/python3
"""Outputs: what cannot be written is found at the start, and at the end no result is lost.

usage: outputs_test.py FOLDER_OF_PROGRAMS [TEST...]
"""

import os
import shutil
import unittest

import programs
from programs import FieldTest


class WorkerOutputs(FieldTest):
    def test_bad_outputs_are_found_before_the_worker_joins(self):
        (self.folder / "folder").mkdir()
        os.mkfifo(self.folder / "pipe")
        nobody = "127.0.0.1:1"  # a worker that got so far would try to reach it for a minute
        for flag, reason in (("--model_output=/nonexistent/m.pt", "No such file or directory"),
                             ("--model_output=/dev/null", "is a device"),
                             (f"--model_output={self.folder}/folder", "is a folder"),
                             (f"--model_output={self.folder}/pipe", "is a pipe"),
                             (f"--trace={self.folder}/pipe", "is a pipe"),
                             ("--trace=/nonexistent/t.json", "No such file or directory"),
                             ("--checkpoint_dir=/proc/c", "No such file or directory")):
            with self.subTest(flag):
                worker = self.run_to_end("cddp-worker", f"--servers={nobody}", "--metrics_listen=", *self.small, flag)
                self.assertEqual(worker.code, 2)
                self.assertIn(flag.split("=")[0], worker.words())
                self.assertIn(reason, worker.words().splitlines()[-1])
        export = self.run_to_end("cddp", "checkpoint", f"--servers={nobody}", "--export_to=/nonexistent/m")
        self.assertEqual(export.code, 2)
        self.assertIn("--export_to=/nonexistent/m", export.words())

    def start_pair(self, *flags):
        """Worker 0 has joined and waits; the output's folder is there no more. Returns the server, worker 0, the folder."""
        output = self.folder / "output"
        output.mkdir()
        server, address = self.start_server("--workers=2", "--exit_when_finished")
        first = self.start_worker(address, "--rank=0", "--workers=2", f"--model_output={output}/m.pt", *flags,
                                  env={**os.environ, "TMPDIR": str(self.folder)})
        first.until("event=joined")
        shutil.rmtree(output)
        self.start_worker(address, "--rank=1", "--workers=2")
        return server, first, output

    def test_a_folder_that_comes_back_gets_the_model(self):
        server, worker, output = self.start_pair("--save_timeout=60s")
        worker.until("event=model_not_saved")
        self.assertEqual(server.wait(), 0)  # it left the cluster, which waits for no disk
        output.mkdir()
        self.assertEqual(worker.wait(), 0)
        self.assertTrue((output / "m.pt").exists())

    def test_a_model_that_cannot_be_put_in_place_is_kept_and_named(self):
        server, worker, _ = self.start_pair("--save_timeout=1s")
        self.assertEqual(worker.wait(), 1)
        self.assertEqual(server.wait(), 0)
        saved = worker.words().split("it is saved as ")[1].split(" instead")[0]
        self.assertGreater(os.path.getsize(saved), 100000)

    def test_files_of_decisions_are_checked_before_the_worker_joins(self):
        for flags in (["--ratio=auto", "--ratio_log=/nonexistent/x"],
                      ["--optimizer=adamw", "--local_steps=auto", "--local_steps_log=/nonexistent/x"]):
            worker = self.start_worker("127.0.0.1:1", *flags)
            self.assertEqual(worker.wait(), 2, worker.words())
            self.assertIn(f"{flags[-1]}: no file can be made there", worker.words())
            self.assertNotIn("waiting_for_server", worker.words())


class RunFolders(FieldTest):
    def test_a_run_with_relative_paths_goes_on_from_any_folder(self):
        small = ["--data_dir=data", "--model=mlp", "--epochs=2", "--batch_size=16", "--workers=2", "--servers=1"]
        run = self.run_to_end("cddp", "train", *small, "--durable", "--output=run", cwd=self.folder)
        self.assertEqual(run.code, 0, run.words())
        (self.folder / "elsewhere").mkdir()
        resumed = self.run_to_end("cddp", "train", "--resume", "--output=../run", cwd=self.folder / "elsewhere")
        self.assertEqual(resumed.code, 0, resumed.words())


if __name__ == "__main__":
    programs.main()
