#!/usr/bin/python3
"""Far away, or busy: 300 ms to and fro, with TLS and from Python, and a server that answers seconds late.

usage: slow_network_test.py FOLDER_OF_PROGRAMS [TEST...]
"""

import signal
import unittest

import programs
from programs import FieldTest

AVERAGE = ["--optimizer=sgd", "--lr=1", "--momentum=0"]
ONE_WAY = 0.15  # seconds
SCRIPT = """
import os, numpy, cddp
weights = numpy.zeros(100, numpy.float32)
with cddp.Arrays({"weights": weights}, ratio=1.0, server_timeout="30s") as training:
    for step in range(3):
        weights += 1
        training.step()
print("mean", weights.mean(), flush=True)
"""
HAS_NUMPY = unittest.skipUnless(programs.has_module("numpy"), f"{programs.PYTHON} has no numpy")


class FarAway(FieldTest):
    def test_with_tls(self):
        of_server, of_clients = self.tls()
        _, address = self.start_server(*of_server, f"--state_dir={self.folder}/state", "--lease=10s")
        address = self.start_proxy(address, delay=ONE_WAY).address
        worker = self.start_worker(address, "--epochs=1", "--batch_size=160", "--rank=auto", "--server_timeout=20s", *of_clients)
        self.assertEqual(worker.wait(), 0, worker.words())
        self.assertNotIn("waiting", worker.words())  # nothing had to be tried twice
        for program, flags in (("cddp", ["status", f"--servers={address}", "--interval=10ms"]),
                               ("cddp", ["checkpoint", f"--servers={address}", f"--export_to={self.folder}/model"]),
                               ("cddp-server", [f"--healthcheck={address}"])):
            tool = self.run_to_end(program, *flags, *of_clients)
            self.assertEqual(tool.code, 0, tool.words() + tool.output())

    @HAS_NUMPY
    def test_cddp_run_with_servers_far_away(self):
        addresses = [self.start_server("--workers=2", "--shards=2", f"--shard={shard}", *AVERAGE)[1] for shard in (0, 1)]
        proxies = ",".join(self.start_proxy(address, delay=ONE_WAY).address for address in addresses)
        run = self.run_script("run", SCRIPT.replace("ratio=1.0", "ratio=1.0, bucket_bytes=128"), "--workers=2",
                              f"--servers={proxies}")
        self.assertEqual(run.code, 0, run.words() + run.output())
        self.assertIn("mean 3.0", run.output())


class Busy(FieldTest):
    def test_a_server_that_stands_still_while_others_connect(self):
        """The kernel takes their connections; the server speaks when it goes on."""
        servers = [self.start_server("--workers=1", *flags) for flags in ([], [], AVERAGE)]
        for server, _ in servers:
            server.process.send_signal(signal.SIGSTOP)
        addresses = [address for _, address in servers]
        worker = self.start_worker(addresses[0], "--server_timeout=40s")
        auto = self.start_worker(addresses[1], "--rank=auto", "--server_timeout=40s")
        waiting = [worker, auto, self.start("cddp", "status", f"--servers={addresses[2]}", "--interval=10ms", "--timeout=40s")]
        if programs.has_module("numpy"):
            waiting.append(self.start_python(SCRIPT, CDDP_SERVERS=addresses[2], RANK="0", WORLD_SIZE="1"))
        worker.until("event=waiting_for_server")
        auto.until("event=rank_waited_for")
        for server, _ in servers:
            server.process.send_signal(signal.SIGCONT)
        for program in waiting:
            self.assertEqual(program.wait(), 0, program.words() + program.output())


if __name__ == "__main__":
    programs.main()
