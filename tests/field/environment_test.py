#!/usr/bin/python3
"""The host's environment is for other traffic and other runs: it neither stops nor redirects a cluster's.

usage: environment_test.py FOLDER_OF_PROGRAMS [TEST...]
"""

import json
import os
import re
import unittest

import programs
from programs import FieldTest

NOBODY = "http://127.0.0.1:9"
PROXIES = {name: NOBODY for name in ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy", "HTTP_PROXY", "HTTPS_PROXY",
                                     "ALL_PROXY")}
# Each would change how gRPC looks names up, waits, whom it trusts or what it logs.
OF_GRPC = {"GRPC_DNS_RESOLVER": "native", "GRPC_POLL_STRATEGY": "poll", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": "/nonexistent",
           "GRPC_SYSTEM_SSL_ROOTS_DIR": "/nonexistent", "GRPC_SSL_CIPHER_SUITES": "NULL", "GRPC_XDS_BOOTSTRAP": "/nonexistent",
           "GRPC_EXPERIMENTS": "no_such_experiment", "GRPC_CLIENT_CHANNEL_BACKUP_POLL_INTERVAL_MS": "0",
           "GRPC_VERBOSITY": "none", "SSL_CERT_FILE": "/nonexistent"}
SCRIPT = """
import os, numpy, cddp
weights = numpy.zeros(100, numpy.float32)
with cddp.Arrays({"weights": weights}, ratio=1.0, bucket_bytes=128) as training:
    for step in range(4):
        weights += 1
        training.step()
print("mean", weights.mean(), "rank", os.environ["RANK"], "state", cddp.state(), flush=True)
"""


def environment(**more):
    kept = {name: value for name, value in os.environ.items() if not re.search("(?i)proxy", name)}
    return {**kept, **more}


class Environment(FieldTest):
    def expect_that_all_works(self, server_flags, client_flags, env):
        server = self.start("cddp-server", "--listen=127.0.0.1:0", "--metrics_listen=127.0.0.1:0", "--progress=json",
                            *server_flags, env=env)
        server.until('"metrics_address"')
        address = json.loads(server.output().splitlines()[0])["address"]
        port = address.rsplit(":", 1)[1]
        worker = self.start("cddp-worker", f"--servers=localhost:{port}", "--metrics_listen=127.0.0.1:0", *self.small,
                            "--server_timeout=20s", "--epochs=100000", "--progress=json", *client_flags, env=env)
        worker.until('"event":"epoch"')
        metrics = re.search(r"event=metrics address=(\S+)", worker.words())[1]
        for program, flags in (("cddp", ["status", f"--servers={address}", "--interval=10ms", *client_flags]),
                               ("cddp", ["checkpoint", f"--servers={address}", f"--export_to={self.folder}/model",
                                         *client_flags]),
                               ("cddp-server", [f"--healthcheck={address}", *client_flags]),
                               ("cddp-worker", [f"--healthcheck={metrics}"])):
            tool = self.run_to_end(program, *flags, env=env)
            self.assertEqual(tool.code, 0, f"{program} {flags}: {tool.words()}{tool.output()}")

    def test_proxies_are_for_the_web(self):
        self.expect_that_all_works([f"--state_dir={self.folder}/state"], [], environment(**PROXIES))

    def test_grpcs_variables_and_proxies_under_tls(self):
        of_server, of_clients = self.tls()
        self.expect_that_all_works([*of_server, f"--state_dir={self.folder}/state"], of_clients,
                                   environment(**PROXIES, **OF_GRPC))

    @unittest.skipUnless(programs.has_module("numpy"), f"{programs.PYTHON} has no numpy")
    def test_cddp_run_and_python(self):
        """Variables of ours that stand there already belong to another run."""
        others = {"CDDP_RANK": "0", "CDDP_WORKERS": "7", "CDDP_STATE": f"{self.folder}/others", "CDDP_RUN": "other",
                  "CDDP_SERVERS": "127.0.0.1:9", "RANK": "5", "WORLD_SIZE": "6"}
        run = self.run_script("run", SCRIPT, "--workers=2", "--servers=2", **PROXIES, **OF_GRPC, **others)
        self.assertEqual(run.code, 0, run.words() + run.output())
        for rank in (0, 1):
            self.assertIn(f"mean 4.0 rank {rank} state None", (self.folder / f"run/logs/worker-{rank}.log").read_text())
        self.assertNotEqual(self.report("run")["run"], "other")


if __name__ == "__main__":
    programs.main()
