"""One measurement of PyTorch DDP over gloo on emulated hosts, with the same shapes and the same idle computing."""

import json
import os
import pathlib
import subprocess
import time

from .hosts import Hosts
from .measurement import Measurement
from .processes import Processes

PYTHON = "/usr/bin/python3"  # Debian's, for which python3-torch is made
WORKER = pathlib.Path(__file__).with_name("ddp_worker.py")
NAMES = {"dense": "PyTorch DDP, gloo", "fp16": "PyTorch DDP, fp16 hook", "powersgd4": "PyTorch DDP, PowerSGD rank 4"}


def available():
    check = "import torch, numpy, torch.distributed as d; assert d.is_gloo_available()"
    return subprocess.run([PYTHON, "-c", check], capture_output=True).returncode == 0


def measure(binaries, options, peer):
    """`peer`: a key of NAMES."""
    shapes = subprocess.run([binaries / "model_shapes", f"--model={options.model}"], check=True, capture_output=True,
                            text=True).stdout
    with Hosts(options.workers, options.rate) as hosts, Processes() as processes:
        shapes_file = pathlib.Path(processes.logs.name) / "shapes.json"
        shapes_file.write_text(shapes)
        workers = []
        for rank in range(options.workers):
            env = dict(os.environ, GLOO_SOCKET_IFNAME="eth0", OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
            workers.append(processes.start([
                *hosts.inside(rank), PYTHON, WORKER, f"--rank={rank}", f"--workers={options.workers}",
                f"--master={hosts.address(0)}", f"--shapes={shapes_file}", f"--compute_ms={options.compute_ms}",
                f"--peer={peer}", f"--steps={options.peer_steps}"], env=env))
        marks = []
        for line in workers[0].stdout:
            if json.loads(line)["event"] in ("warm", "done"):
                marks.append((time.monotonic(), hosts.sent_bytes(), processes.cpu_seconds()))
                if len(marks) == 2:
                    break
        if len(marks) < 2:
            raise RuntimeError(f"{NAMES[peer]}: {processes.failure()}")
        (begin, sent, cpu), (end, sent_end, cpu_end) = marks
        steps = options.peer_steps
        return Measurement(NAMES[peer], (end - begin) / steps, (sent_end - sent) / steps, (cpu_end - cpu) / steps,
                           options.compute_ms / 1e3)
