#!/usr/bin/python3
"""The pods of deploy/kubernetes as processes: commands, arguments, ConfigMaps, probes and exit codes are the manifests' own;
only addresses and folders are replaced (pod.py).

usage: kubernetes_run_test.py FOLDER_OF_PROGRAMS; exits with 77 (skipped) without kubectl or Python's yaml.
"""

import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request

import kustomize
from kustomize import build_variant, role_templates
from pod import Cluster

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from small_images import write_images  # noqa: E402  (tests/support is where it lies)

SERVERS, WORKERS = 2, 2
DEADLINE = 120  # seconds for anything that is waited for
# A small model for a small data set, quickly.
SMALL = ["--model=mlp", "--epochs=3", "--batch_size=16"]


class PodsTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def cluster(self, overlay):
        (self.folder / "variant").mkdir()
        documents = build_variant(overlay, self.folder / "variant", (
            "configMapGenerator:\n  - {name: cddp-cluster, namespace: cddp, behavior: merge, "
            f"literals: [servers={SERVERS}, workers={WORKERS}]}}\ncomponents: [KUBERNETES/components/cluster]\n"))
        cluster = self.enterContext(Cluster(documents, PROGRAMS, self.folder))
        cluster.claims["cddp-files"] = self.folder / "files"
        (self.folder / "files").mkdir()
        write_images(self.folder / "files" / "mnist")
        self.templates = role_templates(documents)
        self.stateful = any(d["kind"] == "StatefulSet" for d in documents)
        return cluster

    def start_server(self, cluster, shard):
        template = self.templates["cddp-server"]
        labels = template["metadata"]["labels"] | {
            "apps.kubernetes.io/pod-index": str(shard), "batch.kubernetes.io/job-completion-index": str(shard),
            "batch.kubernetes.io/controller-uid": "a-uid"}
        name = f"cddp-server-{shard}" if self.stateful else f"cddp-server-0-{shard}"
        return cluster.start(template["spec"], {"labels": labels, "namespace": "cddp"}, name,
                             {"state": f"state-{name}"} if self.stateful else {})

    def start_worker(self, cluster, rank, more=()):
        pod = {"labels": {}, "namespace": "cddp", "injected": [{"name": "JOB_COMPLETION_INDEX", "value": str(rank)}]}
        return cluster.start(self.templates["cddp-worker"]["spec"], pod, f"worker-{rank}", {}, [*SMALL, *more])

    def wait_until(self, condition, what, processes=()):
        end = time.monotonic() + DEADLINE
        while not condition():
            for process in processes:
                self.assertIsNone(process.poll(), f"{process.name} ended while waiting for {what}:\n{process.log.read_text()}")
            self.assertLess(time.monotonic(), end, what)
            time.sleep(0.05)

    def wait_ready(self, server, probe="readinessProbe"):
        port = self.templates["cddp-server"]["spec"]["containers"][0][probe]["grpc"]["port"]
        check = [PROGRAMS / "cddp-server", f"--healthcheck={server.address}:{port}"]
        self.wait_until(lambda: subprocess.run(check, capture_output=True).returncode == 0, f"{server.name} ready", [server])

    def wait_end(self, process, code=0):
        try:
            process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self.fail(f"{process.name} does not end:\n{process.log.read_text()}")
        self.assertEqual(process.returncode, code, process.log.read_text())

    def train(self, cluster):
        """Workers first: start-up order does not matter. Returns the servers, once all workers are done."""
        workers = [self.start_worker(cluster, rank) for rank in range(WORKERS)]
        servers = [self.start_server(cluster, shard) for shard in range(SERVERS)]
        for server in servers:
            self.wait_ready(server, "startupProbe")
            self.wait_ready(server)
            annotations = self.templates["cddp-server"]["metadata"]["annotations"]
            url = f"http://{server.address}:{annotations['prometheus.io/port']}{annotations['prometheus.io/path']}"
            self.assertIn(b"cddp_server_", urllib.request.urlopen(url, timeout=10).read())
        for worker in workers:
            self.wait_end(worker)
        checksums = [re.search(r'"weights_crc32c":"?(\w+)', w.log.read_text())[1] for w in workers]
        self.assertEqual(len(set(checksums)), 1)
        self.assertTrue((self.folder / "files" / "output" / "model.pt").exists())
        return servers

    def test_cpu(self):
        cluster = self.cluster("cpu")
        servers = self.train(cluster)
        for server in servers:
            self.assertIsNone(server.poll(), "a StatefulSet's servers stay until they are scaled down")
            self.assertTrue(any(server.paths["/var/lib/cddp"].iterdir()), "a journal")
            server.send_signal(signal.SIGTERM)
        for server in servers:
            self.wait_end(server)

    def test_jobset(self):
        cluster = self.cluster("jobset")
        for server in self.train(cluster):
            self.wait_end(server)
        for shard in range(SERVERS):  # pods of the same Job that are started again all the same
            self.wait_end(self.start_server(cluster, shard))

    def test_tls(self):
        cluster = self.cluster("tls")
        self.make_secrets(cluster)
        self.train(cluster)
        servers = f"--servers=dns://{cluster.dns.authority}/cddp-server-{{{SERVERS}}}.cddp-server.cddp.svc:50051"
        for role, code in (("operator", 0), ("worker", 1)):
            tls = self.folder / f"secret-cddp-{role}"
            status = subprocess.run([PROGRAMS / "cddp", "status", servers, f"--tls_cert_file={tls}/tls.crt",
                                     f"--tls_key_file={tls}/tls.key", f"--tls_ca_file={tls}/ca.crt"],
                                    capture_output=True, text=True)
            self.assertEqual(status.returncode, code, status.stdout + status.stderr)

    def make_secrets(self, cluster):
        """What cert-manager would make of the Certificates, with openssl."""
        def openssl(*words):
            subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=self.folder)

        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                "-subj", "/CN=cddp-ca", "-keyout", "ca.key", "-out", "ca.crt")
        for document in cluster.documents:
            if document["kind"] != "Certificate" or document["spec"].get("isCA"):
                continue
            spec, folder = document["spec"], f"secret-{document['metadata']['name']}"
            (self.folder / folder).mkdir()
            subject = f"/CN={spec['commonName']}" + "".join(
                f"/OU={unit}" for unit in spec.get("subject", {}).get("organizationalUnits", []))
            openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", subject,
                    "-keyout", f"{folder}/tls.key", "-out", "request")
            usages = {"server auth": "serverAuth", "client auth": "clientAuth"}
            extensions = "extendedKeyUsage=" + ",".join(usages[usage] for usage in spec["usages"]) + "\n"
            if "dnsNames" in spec:
                extensions += "subjectAltName=" + ",".join(f"DNS:{name}" for name in spec["dnsNames"]) + "\n"
            (self.folder / "extensions").write_text(extensions)
            openssl("x509", "-req", "-in", "request", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
                    "-extfile", "extensions", "-out", f"{folder}/tls.crt")
            (self.folder / folder / "ca.crt").write_bytes((self.folder / "ca.crt").read_bytes())
            cluster.secrets[spec["secretName"]] = {
                name: (self.folder / folder / name).read_bytes() for name in ("tls.crt", "tls.key", "ca.crt")}

    def test_a_server_that_is_moved_is_found_again(self):
        cluster = self.cluster("cpu")
        servers = [self.start_server(cluster, shard) for shard in range(SERVERS)]
        workers = [self.start_worker(cluster, rank, ["--epochs=1000000"]) for rank in range(WORKERS)]
        progress = workers[0].log
        self.wait_until(lambda: '"epoch":1,' in progress.read_text(), "the first epoch", servers + workers)
        servers[1].kill()
        servers[1].wait()
        self.wait_until(lambda: "heartbeat_failed" in progress.read_text(), "the loss to be noticed", workers)
        begin = time.monotonic()
        moved = self.start_server(cluster, 1)
        self.assertNotEqual(moved.address, servers[1].address)
        at = len(progress.read_text())
        self.wait_until(lambda: '"event":"epoch"' in progress.read_text()[at:], "the next epoch", [moved, *workers])
        print(f"found again after {time.monotonic() - begin:.1f} s", file=sys.stderr)
        for worker in workers:
            self.assertIsNone(worker.poll())

    def test_exit_codes_are_those_of_the_policy(self):
        cluster = self.cluster("cpu")
        (self.folder / "files" / "mnist").rename(self.folder / "whole")
        self.wait_end(self.start_worker(cluster, 0), 2)  # bad data: FailJob
        self.wait_end(self.start_worker(cluster, 0, ["--nonsense"]), 2)
        (self.folder / "files" / "mnist").rmdir()
        (self.folder / "whole").rename(self.folder / "files" / "mnist")
        self.wait_end(self.start_worker(cluster, 0, ["--server_timeout=200ms"]), 1)  # no server: worth a retry


if __name__ == "__main__":
    kustomize.require_tools()
    PROGRAMS = pathlib.Path(sys.argv.pop(1)).resolve()
    unittest.main()
