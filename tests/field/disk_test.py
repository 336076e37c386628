#!/usr/bin/python3
"""A server's disk is full, and later has room again: who waits is told, and nobody needs to start anything anew.

usage: disk_test.py FOLDER_OF_PROGRAMS [TEST...]
"""

import json
import os
import subprocess
import unittest

import programs
from programs import FieldTest

TINY, AMPLE = "size=1200k", "size=256m"


@unittest.skipUnless(os.geteuid() == 0, "needs root for a file system of its own")
class Disk(FieldTest):
    def setUp(self):
        super().setUp()
        self.disk = self.folder / "disk"
        self.disk.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", TINY, "tmpfs", self.disk], capture_output=True)
        if mounted.returncode != 0:
            self.skipTest(mounted.stderr)
        self.addCleanup(subprocess.run, ["umount", "--lazy", self.disk])

    def make_room(self):
        subprocess.run(["mount", "-o", f"remount,{AMPLE}", self.disk], check=True)

    def test_the_training_goes_on_when_there_is_room(self):
        server, address = self.start_server(f"--state_dir={self.disk}/state")
        worker = self.start_worker(address, "--epochs=100", "--server_timeout=60s")
        server.until("event=disk_full")
        worker.until("the disk is full; make room, and the server goes on")
        status = self.run_to_end("cddp", "status", "--json", f"--servers={address}")
        self.assertIn("the disk is full", json.loads(status.output())["servers"][0]["status"]["trouble"])
        self.make_room()
        self.assertEqual(worker.wait(), 0, worker.words())
        self.assertIn("event=journal_goes_on", server.words())

    def test_the_terminal_says_it(self):
        state = f"{self.disk}/state"
        run = self.start("cddp", "train", *self.small, "--epochs=100", "--workers=2", "--servers=1", "--durable",
                         f"--server_flags=--state_dir={state}", f"--output={self.folder}/run")
        run.until("the disk is full; make room, and the server goes on")
        self.assertIn("server 0: ", run.output())
        self.make_room()
        self.assertEqual(run.wait(), 0, run.words())


if __name__ == "__main__":
    programs.main()
