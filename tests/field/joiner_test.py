#!/usr/bin/python3
"""A worker that joins over a slow network: the others go on until it has the weights, and all can see how far it is.

usage: joiner_test.py FOLDER_OF_PROGRAMS [TEST...]
"""

import json
import re
import urllib.request

import programs
from programs import FieldTest, Proxy, end, wait_for


class Joiner(FieldTest):
    def setUp(self):
        super().setUp()
        self.server, self.address = self.start_server("--metrics_listen=127.0.0.1:0", "--workers=2", *self.server_flags())
        self.metrics = json.loads(self.server.output().splitlines()[0])["metrics_address"]
        self.flags = ["--workers=2", "--epochs=100000", "--progress=json"]
        self.worker = self.start_worker(self.address, "--rank=0", *self.flags)

    def server_flags(self):
        return ["--lease=60s"]

    def slow(self, rate):
        proxy = Proxy(self.address, rate)
        self.addCleanup(proxy.close)
        return proxy.address

    def status(self):
        out = self.run_to_end("cddp", "status", "--json", f"--servers={self.address}").output()
        return json.loads(out)["servers"][0]["status"]

    def joiner(self):
        """What the servers say of worker 1."""
        return next((w for w in self.status().get("workers", []) if w["worker"].get("rank") == 1), {})

    def gauge(self, name):
        text = urllib.request.urlopen(f"http://{self.metrics}/metrics").read().decode()
        return float(re.search(rf"^{name}{{.*}} (.*)$", text, re.MULTILINE)[1])

    def version(self):
        return int(self.status()["min_version"])

    def expect_that_the_other_goes_on(self):
        """While worker 1 reads the weights; then it takes part."""
        wait_for(lambda: self.joiner().get("catching_up"), "the joiner's download")
        before = self.version()
        wait_for(lambda: self.version() > before + 20, "steps of the other worker")
        self.assertTrue(self.joiner().get("catching_up"), "it had the weights: make the network slower")
        self.assertNotIn("1", [str(rank) for rank in self.status().get("waiting_for", [])])
        wait_for(lambda: self.gauge("cddp_server_workers_catching_up") == 1, "the gauge")
        self.assertGreater(self.gauge("cddp_server_catch_up_bytes_total"), 0)
        table = self.run_to_end("cddp", "status", "--interval=0.05", f"--servers={self.address}").output()
        self.assertRegex(table, r"\n1 +catching up, [\d.]+ [kM]?B at [\d.]+ [kM]?B/s")

    def begin(self):
        """Both train, then worker 1 ends."""
        first = self.start_worker(self.address, "--rank=1", *self.flags)
        for worker in (self.worker, first):
            worker.until('"event":"epoch"')
        return first

    def test_one_that_comes_back_without_its_lease_being_over(self):
        end(self.begin().process)  # killed: the lease goes on, and rounds wait for it
        run = self.status()["run"]
        second = self.start_worker(self.slow(40_000), "--rank=1", f"--run={run}", *self.flags)
        self.expect_that_the_other_goes_on()
        second.until("event=caught_up")
        self.server.until("event=caught_up rank=1")
        wait_for(lambda: not self.joiner().get("catching_up"), "its taking part")
        second.until('"event":"step"')

    def test_one_that_ends_in_the_middle_of_its_download(self):
        self.begin().process.terminate()
        wait_for(lambda: self.joiner().get("state") == "LEFT", "the worker's end")
        second = self.start_worker(self.slow(40_000), "--rank=1", *self.flags)
        self.expect_that_the_other_goes_on()
        end(second.process)
        before = self.version()
        wait_for(lambda: self.version() > before + 20, "steps of the other worker")
        third = self.start_worker(self.address, "--rank=1", f"--run={self.status()['run']}", *self.flags)
        third.until('"event":"step"')

    def test_a_network_that_carries_no_more_than_the_others_change(self):
        """It never gets nearer: it takes part all the same, and is what the others wait for, as any slow worker."""
        self.begin().process.terminate()
        wait_for(lambda: self.joiner().get("state") == "LEFT", "the worker's end")
        second = self.start_worker(self.slow(200_000), "--rank=1", "--ratio=1", *self.flags)
        second.until("event=caught_up")
        second.until('"event":"step"')


class StaleJoiner(Joiner):
    def server_flags(self):
        return ["--lease=60s", "--consistency=stale", "--max_staleness=2"]


if __name__ == "__main__":
    programs.main()
