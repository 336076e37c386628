"""One measurement of Compressed-DDP on emulated hosts."""

import json
import subprocess
import time

from .hosts import Hosts
from .measurement import Measurement
from .processes import Processes

PORT = 50051


def flags_of(binary):
    return subprocess.run([binary, "--help"], capture_output=True, text=True).stdout


def open_door(binary):
    """Emulated hosts are not this machine's loopback; a server that wants TLS there must be told it need not."""
    return ["--insecure"] if "--insecure" in flags_of(binary) else []


def measure(binaries, options, name="Compressed-DDP", ratio=None, values=None, extra=()):
    """`options`: those of netlab. Rank 0 tells when its warm-up and its measured steps are over."""
    ratio = options.ratio if ratio is None else ratio
    values = options.values if values is None else values
    servers = options.servers or options.workers
    first = options.workers if options.servers else 0  # without --servers one stands beside each worker
    each = 1 if options.local_steps == "auto" else options.local_steps
    steps = max(1, -(-options.steps // each)) * each
    at_workers = options.local_steps != 1 or options.overlap > 0
    with Hosts(first + servers if first else options.workers, options.rate) as hosts, Processes() as processes:
        addresses = [f"{hosts.address(first + shard)}:{PORT}" for shard in range(servers)]
        encodings = [f"--value_encoding={values}", f"--index_encoding={options.indices}"]
        server = binaries / "cddp-server"
        for shard in range(servers):
            child = processes.start([
                *hosts.inside(first + shard), server, f"--listen={addresses[shard]}", f"--shard={shard}",
                f"--shards={servers}", f"--workers={options.workers}", "--metrics_listen=",
                *(["--lr=1", "--momentum=0"] if at_workers else ["--lr=0.001"]),
                f"--publish_ratio={0 if ratio == 'auto' else ratio}", *encodings, "--progress=json", *open_door(server)])
            child.stdout.readline()  # it listens
        workers = []
        for rank in range(options.workers):
            workers.append(processes.start([
                *hosts.inside(rank), binaries / "cddp-worker", f"--rank={rank}", f"--workers={options.workers}",
                f"--servers={','.join(addresses)}", f"--model={options.model}", f"--compute_ms={options.compute_ms}",
                f"--ratio={ratio}", *encodings, f"--local_steps={options.local_steps}",
                *([f"--overlap={options.overlap}"] if options.overlap else []),
                *(["--optimizer=sgd", "--lr=0.001"] if at_workers else []),
                "--batch_size=1",
                f"--train_examples={steps * options.workers}", "--epochs=2", "--metrics_listen=",
                f"--bucket_bytes={options.bucket_bytes}", "--progress=json", *open_door(binaries / "cddp-worker"),
                *extra]))
        marks = []
        last = None
        for line in workers[0].stdout:
            event = json.loads(line)
            if event["event"] == "epoch":
                marks.append((time.monotonic(), hosts.sent_bytes(), processes.cpu_seconds()))
                last = event
                if len(marks) == 2:
                    break
        if len(marks) < 2:
            raise RuntimeError(f"{name}: {processes.failure()}")
        (begin, sent, cpu), (end, sent_end, cpu_end) = marks
        for worker in workers:
            worker.communicate()
        return Measurement(name, (end - begin) / steps, (sent_end - sent) / steps, (cpu_end - cpu) / steps,
                           options.compute_ms / 1e3, {key: value / steps for key, value in last["seconds"].items()})
