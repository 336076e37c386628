#!/usr/bin/python3
"""Who answers at an address: every program of ours asks, also long after it has connected.

usage: server_identity_test.py FOLDER_OF_PROGRAMS [TEST...]
"""

import json
import re

import programs
from programs import FieldTest, wait_for

TWO = "--bucket_bytes=8192"


class Tools(FieldTest):
    def start_pair(self, name):
        return [self.start_server("--shards=2", f"--shard={shard}", f"--state_dir={self.folder}/{name}-{shard}")[1]
                for shard in (0, 1)]

    def trained(self, name, *flags):
        pair = self.start_pair(name)
        worker = self.start_worker(",".join(pair), TWO, *flags)
        self.assertEqual(worker.wait(), 0, worker.words())
        return pair

    def expect(self, servers, words):
        """Neither a model nor a checkpoint comes of these, and status says why."""
        named, model = f"--servers={','.join(servers)}", self.folder / "model.safetensors"
        status = self.run_to_end("cddp", "status", named, "--interval=10ms")
        self.assertEqual(status.code, 1)
        self.assertRegex(status.output(), rf"\nWARNING: .*{words}")
        seen = self.run_to_end("cddp", "status", named, "--json")
        self.assertEqual(seen.code, 1)
        self.assertRegex(json.loads(seen.output())["error"], words)
        for flags in (["--version=81"], []):
            checkpoint = self.run_to_end("cddp", "checkpoint", named, f"--export_to={model}", *flags)
            self.assertEqual(checkpoint.code, 2, checkpoint.output())
            self.assertRegex(checkpoint.words(), words)
            self.assertFalse(model.exists())

    def test_servers_of_two_runs_are_no_cluster(self):
        first, second = self.trained("first"), self.trained("second", "--seed=7")
        fresh = self.start_pair("fresh")
        self.expect([first[0], second[1]], r"holds run \w+, but server \S+ run \w+: name the servers of one run")
        self.expect([first[0], second[0]], "name the servers of one run")
        self.expect([first[0], first[0].replace("127.0.0.1", "localhost")], "is shard 0, and so is localhost:")
        self.expect([first[0], fresh[1]], f"server {fresh[1]} holds no run, but server {first[0]} run .*lost its state")
        # The order does not matter to a tool.
        status = self.run_to_end("cddp", "status", f"--servers={first[1]},{first[0]}", "--interval=10ms")
        self.assertEqual(status.code, 0)
        self.assertNotIn("WARNING", status.output())
        checkpoint = self.run_to_end("cddp", "checkpoint", f"--servers={first[1]},{first[0]}",
                                     f"--export_to={self.folder}/model")
        self.assertEqual(checkpoint.code, 0, checkpoint.words())

    def test_another_programs_metrics_are_no_healthy_worker(self):
        server = self.start("cddp-server", "--listen=127.0.0.1:0", "--metrics_listen=127.0.0.1:0", "--progress=json")
        server.until('"metrics_address"')
        addresses = json.loads(server.output().splitlines()[0])
        worker = self.start("cddp-worker", f"--servers={addresses['address']}", "--metrics_listen=127.0.0.1:0", *self.small,
                            "--epochs=100000")
        worker.until("event=metrics address=")
        own = re.search(r"event=metrics address=(\S+)", worker.words())[1]
        for address, code, words in ((own, 0, ""), (addresses["metrics_address"], 1, "it has no metric cddp_worker_"),
                                     (addresses["address"], 1, "another program answers there, and not in HTTP")):
            check = self.run_to_end("cddp-worker", f"--healthcheck={address}")
            self.assertEqual(check.code, code, check.words())
            self.assertIn(words, check.words())


class Worker(FieldTest):
    def test_an_address_leads_to_another_runs_server_for_a_while(self):
        """As a pod's address does that another cluster's pod gets."""
        server, address = self.start_server("--lease=2s", "--lr=1e-6")  # each step has another loss
        other, other_address = self.start_server("--run=other")
        proxy = self.start_proxy(address)
        worker = self.start_worker(proxy.address, "--epochs=100000", "--progress=json", "--server_timeout=30s")
        worker.until('"event":"epoch"')
        wait_for(lambda: len(proxy.connections) > 1, "the heartbeats' connection")
        proxy.lead(other_address)
        proxy.cut()
        other.until("event=call_refused reason=wrong_run")
        worker.until("event=heartbeat_failed")
        proxy.lead(address)  # the wrong connections stay: the worker must leave them
        epochs = lambda: worker.output().count('"event":"epoch"')
        before = epochs()
        wait_for(lambda: epochs() > before + 1, "epochs of the right server")
        loss = self.told_loss(address)
        wait_for(lambda: self.told_loss(address) != loss, "a heartbeat at the right server")
        self.assertIsNone(worker.process.poll())

    def told_loss(self, address):
        """Only heartbeats tell it."""
        status = self.run_to_end("cddp", "status", "--json", f"--servers={address}")
        return json.loads(status.output())["servers"][0]["status"]["workers"][0]["loss"]


if __name__ == "__main__":
    programs.main()
