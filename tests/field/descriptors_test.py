#!/usr/bin/python3
"""A server that runs out of descriptors: it says so, keeps its files, and hears again once there is room. And why a
server cannot listen; and IPv6.

usage: descriptors_test.py FOLDER_OF_PROGRAMS [TEST...]
"""

import json
import resource
import socket
import urllib.request

import programs
from programs import FieldTest


def limit(count):
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))


class Descriptors(FieldTest):
    def test_a_limit_that_cannot_hold_the_workers_is_refused_at_the_start(self):
        server = self.run_to_end("cddp-server", "--listen=127.0.0.1:0", "--metrics_listen=", "--workers=24",
                                 preexec_fn=limit(64))
        self.assertEqual(server.code, 2)
        self.assertIn("may open 64 files and connections, but --workers=24 need", server.words())

    def test_a_full_server_hears_again(self):
        server = self.start("cddp-server", "--listen=127.0.0.1:0", "--metrics_listen=127.0.0.1:0", "--progress=json",
                            f"--state_dir={self.folder}/state", preexec_fn=limit(100))
        server.until("\"metrics_address\"")
        listening = json.loads(server.output().splitlines()[0])
        address = listening["address"]
        host, port = address.split(":")
        strangers = []
        for _ in range(150):
            try:
                strangers.append(socket.create_connection((host, int(port)), 5))
            except OSError:
                break
        server.until("reason=no_descriptor")
        full = self.run_to_end("cddp", "status", f"--servers={address}", "--interval=0.05", "--timeout=1")
        self.assertEqual(full.code, 1)
        # /metrics is served, and says it.
        metrics = urllib.request.urlopen(f"http://{listening['metrics_address']}/metrics", timeout=10).read().decode()
        refused = [line for line in metrics.splitlines() if 'reason="no_descriptor"' in line]
        self.assertGreater(float(refused[0].split()[-1]), 0)
        for stranger in strangers:
            stranger.close()
        worker = self.start_worker(address)  # its journal needs files, too
        self.assertEqual(worker.wait(), 0, worker.words())


class Addresses(FieldTest):
    def refused(self, *flags):
        server = self.run_to_end("cddp-server", *flags)
        self.assertEqual(server.code, 2)
        self.assertEqual(len(server.words().splitlines()), 1, server.words())
        return server.words()

    def test_why_a_server_cannot_listen_is_one_line(self):
        self.assertIn("--listen: '127.0.0.1' has no port: write 127.0.0.1:50051", self.refused("--listen=127.0.0.1"))
        self.assertIn("write [::1]:50051", self.refused("--listen=::1:50051"))
        self.assertIn("no network interface of this machine", self.refused("--listen=192.0.2.1:0", "--insecure"))
        _, address = self.start_server()
        self.assertIn("another process listens", self.refused(f"--listen={address}"))
        self.assertIn("another process listens",
                      self.refused("--listen=127.0.0.1:0", f"--metrics_listen={address}"))
        self.assertIn("another process listens", self.refused("--listen=127.0.0.1:0", "--metrics_listen=",
                                                              f"--health_listen={address}"))

    def test_ipv6_everywhere(self):
        server = self.start("cddp-server", "--listen=[::1]:0", "--metrics_listen=[::1]:0", "--health_listen=[::1]:0",
                            "--progress=json")
        server.until("listening")
        listening = json.loads(server.output().splitlines()[0])
        for flag in (f"--healthcheck={listening['address']}", f"--healthcheck={listening['health_address']}"):
            self.assertEqual(self.run_to_end("cddp-server", flag).code, 0)
        # It gets there, and finds that these are a server's.
        self.assertIn("it has no metric cddp_worker_",
                      self.run_to_end("cddp-worker", f"--healthcheck={listening['metrics_address']}").words())
        self.assertEqual(self.run_to_end("cddp", "status", f"--servers={listening['address']}", "--interval=0.05").code, 0)
        worker = self.start("cddp-worker", f"--servers={listening['address']}", "--metrics_listen=[::1]:0", *self.small)
        self.assertEqual(worker.wait(), 0, worker.words())


if __name__ == "__main__":
    programs.main()
