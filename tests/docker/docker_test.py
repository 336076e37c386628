#!/usr/bin/python3
"""The delivered images and docker/compose.yaml, as users run them, on a Docker engine: training reaches its accuracy
and is monitored, killed containers come back and training goes on, and `WORKERS=8` is eight workers.

usage: docker_test.py FOLDER_OF_PROGRAMS   puts these programs into the images
       docker_test.py --from-source        has the images build them; takes half an hour on two cores

Exits with 77 (skipped) where no Docker engine can run. Leaves nothing behind: not the containers, networks and volumes,
not the images, not the engine if it had to start one.
"""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from cluster import COMPOSE, SOURCE, Cluster
from engine import Engine, NoEngine
from images import Images
from monitoring import delivered_dashboard, queries

SKIPPED = 77
PREFIX = f"cddp-docker-test-{os.getpid()}"
SERVERS = "server-0:50051,server-1:50051"
ACCURACY = 0.97
SERVER_IMAGE_LIMIT = 150e6


def check_hardening(cluster):
    for service in ("server-0", "server-1", "worker", "prometheus"):
        for container in cluster.containers(service):
            host = container["HostConfig"]
            assert host["ReadonlyRootfs"] and host["CapDrop"] == ["ALL"], f"{service}: {host}"
            assert "no-new-privileges:true" in host["SecurityOpt"], f"{service}: {host['SecurityOpt']}"
            assert host["Memory"] and host["NanoCpus"] and host["PidsLimit"], f"{service} has no limits"
            status = pathlib.Path(f"/proc/{container['State']['Pid']}/status").read_text()
            uid = next(line for line in status.splitlines() if line.startswith("Uid:")).split()[1]
            assert uid != "0", f"{service} runs as root"


def versions(cluster):
    return {metric["shard"]: value for metric, value in cluster.ask("cddp_server_max_version")}


def await_progress(cluster, what, seconds=120):
    """Every shard's version rises by 20 from where it is."""
    before = versions(cluster)

    def missing():
        now = versions(cluster)
        return None if len(now) == 2 and all(now[s] >= before.get(s, 0) + 20 for s in now) else f"{before} to {now}"

    cluster.await_condition(what, missing, seconds)


def await_restart(cluster, service, number):
    def missing():
        [container] = [c for c in cluster.containers(service) if c["Id"] == number]
        return None if container["RestartCount"] >= 1 and container["State"]["Running"] else container["State"]

    cluster.await_condition(f"a killed container of {service} is started again", missing, 60)


def four_workers(images):
    with Cluster(PREFIX, images, WORKERS="4", EPOCHS="100") as cluster:
        check_hardening(cluster)
        cluster.await_targets(servers=2, workers=4)

        unanswered = list(queries(delivered_dashboard(), rate_interval="1m"))
        print(f"         {len(unanswered)} queries of dashboard, rules and alerts", flush=True)

        def without_data():
            unanswered[:] = [(where, query) for where, query in unanswered if not cluster.answers(query)]
            return unanswered or None

        cluster.await_condition("all queries have data", without_data, 240)
        def untold():
            told = cluster.run_in("server-0", "cddp", "status", f"--servers={SERVERS}", "--json")
            if told.returncode != 0:
                return told.stdout
            seen = [server["status"]["worker_count"] for server in json.loads(told.stdout)["servers"]]
            return None if seen == [4, 4] else told.stdout

        cluster.await_condition("cddp status tells of both servers", untold, 60)

        [server] = cluster.containers("server-1")
        cluster.kill(server)
        await_restart(cluster, "server-1", server["Id"])
        await_progress(cluster, "training goes on from the server's journal")
        assert "event=recovered" in cluster.logs(server), cluster.logs(server)
        assert all(c["RestartCount"] == 0 for c in cluster.containers("worker")), "the workers never noticed"

        worker = cluster.containers("worker")[0]
        cluster.kill(worker)
        await_restart(cluster, "worker", worker["Id"])

        def without_rank():
            return None if cluster.logs(worker).count("event=rank_claimed") == 2 else cluster.logs(worker)

        cluster.await_condition("it has the dead worker's rank", without_rank, 90)
        await_progress(cluster, "training goes on with it")

        def inaccurate():
            reached = cluster.ask("max(max_over_time(cddp_worker_test_accuracy_ratio[1h]))")
            return None if reached and reached[0][1] >= ACCURACY else f"reached {reached}"

        cluster.await_condition(f"a test accuracy of {ACCURACY:.0%}", inaccurate, 480)


def eight_workers(images):
    with Cluster(PREFIX, images, WORKERS="8", MODEL="mlp", EPOCHS="100") as cluster:
        cluster.await_targets(servers=2, workers=8)

        def idle():
            ranks = {metric["rank"] for metric, value in cluster.ask("cddp_worker_steps_total") if value > 0}
            return None if ranks == {str(rank) for rank in range(8)} else f"only {sorted(ranks)} have made steps"

        cluster.await_condition("each of 8 ranks trains", idle, 120)


def two_workers_with_certificates(images):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        subprocess.run([SOURCE / "tests" / "integration" / "certificates", folder, "server-0", "server-1"], check=True)
        for who in ("server", "worker"):
            shutil.copy(folder / who / "cert.pem", folder / f"{who}.pem")
            shutil.copy(folder / who / "key.pem", folder / f"{who}.key")
            (folder / f"{who}.key").chmod(0o644)  # the container's user is none of this machine
        with Cluster(PREFIX, images, ("compose.yaml", "compose.tls.yaml"), WORKERS="2", MODEL="mlp", EPOCHS="100",
                     CERTIFICATES=str(folder)) as cluster:
            cluster.await_targets(servers=2, workers=2)
            await_progress(cluster, "training goes on behind certificates")
            refused = cluster.run_in("server-0", "cddp", "status", f"--servers={SERVERS}")
            assert refused.returncode != 0, "a client without a certificate was answered"


def main():
    from_source = sys.argv[1:] == ["--from-source"]
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what follows is cleaned up

    def skip(why):
        print(f"SKIPPED: {why}")
        return SKIPPED

    if not shutil.which(COMPOSE[0]):
        return skip("docker-compose is not installed (scripts/setup --tests)")
    if not (SOURCE / "data" / "mnist" / "train-images-idx3-ubyte").exists():
        return skip("MNIST is missing (scripts/setup --data-only)")
    try:
        with Engine():
            images = Images(PREFIX)
            try:
                run(images, None if from_source else pathlib.Path(sys.argv[1]))
            finally:
                images.remove()
    except NoEngine as why:
        return skip(why)
    return 0


def run(images, programs):
    steps = (("base image", images.make_base), ("images", lambda: images.build(programs)),
             ("Prometheus' image", images.build_prometheus), ("four workers", lambda: four_workers(images)),
             ("eight workers", lambda: eight_workers(images)),
             ("certificates", lambda: two_workers_with_certificates(images)))
    for name, step in steps:
        begin = time.monotonic()
        print(name, flush=True)
        step()
        print(f"{time.monotonic() - begin:7.0f} s  {name} in all", flush=True)
        if name == "images":
            sizes = {what: images.size(what) for what in ("server", "worker")}
            print(*(f"         {what}: {size / 1e6:.0f} MB" for what, size in sizes.items()), sep="\n", flush=True)
            assert sizes["server"] < SERVER_IMAGE_LIMIT, "the server's image is too large"


if __name__ == "__main__":
    sys.exit(main())
