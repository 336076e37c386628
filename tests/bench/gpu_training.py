"""Training with --device=cuda, for tests/bench/gpu:

    gpu_training.py train BIN      cddp train with 4 workers on the GPU, beside the same with --device=cpu
    gpu_training.py overhead BIN   what a step takes beside 50 ms of compute, in the shapes of ResNet-50

BIN: the folder of the programs. Prints lines `result NAME VALUE UNIT`; ends with 1 if a run fails or learns otherwise."""

import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
COMMON = ["--workers=4", "--servers=2", "--threads=4", "--epochs=1", "--seed=7"]
# Runs of some seconds, short enough for the processors to make the same.
RUNS = {
    "simple_cnn": ["--model=simple_cnn", "--train_examples=12800", "--test_examples=2000"],
    "resnet18": ["--model=resnet18", "--train_examples=2560", "--test_examples=200", "--lr=0.02"],
    "gpt": ["--model=gpt", f"--data={ROOT / 'server'}", "--layers=2", "--dim=128", "--context=64", "--batch_size=16",
            "--optimizer=adamw", "--train_examples=2560", "--test_examples=64"],
}
MOST_APART = 0.15  # of the training loss, relatively: rounding differs, and grows step by step


class RunFailed(Exception):
    """What a run that failed said."""


def train(binaries, name, device, extra=()):
    """The report of a run."""
    output = pathlib.Path(tempfile.mkdtemp(prefix=f"cddp-gpu-{name}-"))
    command = [str(binaries / "cddp"), "train", f"--device={device}", f"--output={output}", "--overwrite",
               *COMMON, *RUNS[name], *extra]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if run.returncode != 0:
        logs = "\n".join(f"{log.name}: {log.read_text()[-800:]}" for log in sorted((output / "logs").glob("worker-*")))
        raise RunFailed(f"{' '.join(command)}\n{run.stdout}{run.stderr}\n{logs}")
    print("\n".join(line for line in run.stdout.splitlines() if line.startswith(("device", "epoch", "weights"))))
    report = json.loads((output / "report.json").read_text())
    shutil.rmtree(output)
    return report


def compare(binaries, name):
    """Do both devices learn alike?"""
    gpu, cpu = train(binaries, name, "cuda"), train(binaries, name, "cpu")
    print(f"result gpu_train_{name}_loss {gpu['train_loss']:.4f} nats")
    print(f"result gpu_train_{name}_cpu_loss {cpu['train_loss']:.4f} nats")
    if gpu["test_accuracy"] is not None:
        print(f"result gpu_train_{name}_accuracy {100 * gpu['test_accuracy']:.2f} %")
        print(f"result gpu_train_{name}_cpu_accuracy {100 * cpu['test_accuracy']:.2f} %")
    print(f"result gpu_train_{name}_step_ms {gpu['step_ms']['total']:.3f} ms")
    return abs(gpu["train_loss"] - cpu["train_loss"]) <= MOST_APART * cpu["train_loss"]


def check(binaries):
    """The engine's bytes are the host engine's, or the run fails."""
    train(binaries, "simple_cnn", "cuda", ["--worker_flags=--check_engine", "--train_examples=2560"])
    print("result gpu_check_engine 1 passed")


def diverge(binaries):
    """A loss that is not finite is found on the device: steps are skipped at all workers alike, and the run says so."""
    try:
        train(binaries, "simple_cnn", "cuda", ["--lr=1e30", "--worker_flags=--max_skipped_steps=5"])
    except RunFailed as error:
        if "steps were skipped" not in str(error):
            raise
        print("result gpu_diverging 1 passed")
        return
    raise RunFailed("with --lr=1e30 no step was skipped")


def train_all(binaries):
    failed = []
    for name in ("check_engine", "diverging", *RUNS):
        try:
            if name == "check_engine":
                check(binaries)
            elif name == "diverging":
                diverge(binaries)
            elif not compare(binaries, name):
                failed.append(f"{name}: the training loss is more than {MOST_APART:.0%} apart from the CPU's")
        except RunFailed as error:
            failed.append(f"{name}: {error}")
    if failed:
        sys.exit("\n".join(failed))


def overhead(binaries, workers, bucket_bytes=0, compute_ms=50, steps=100):
    """Workers whose passes idle, so that all beyond is ours. `bucket_bytes`: 0: the default."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="cddp-gpu-overhead-"))
    processes, addresses, logs = [], [], []

    def start(name, *arguments):
        logs.append(folder / name)
        with open(logs[-1], "w", encoding="utf-8") as log:
            processes.append(subprocess.Popen(arguments, cwd=ROOT, stdout=log, stderr=log))
        return processes[-1]

    try:
        for shard in range(2):
            start(f"server-{shard}", str(binaries / "cddp-server"), f"--shard={shard}", "--shards=2",
                  f"--workers={workers}", "--listen=127.0.0.1:0", "--metrics_listen=", "--exit_when_finished")
            address = None
            while address is None:
                if processes[-1].poll() is not None:
                    sys.exit(logs[-1].read_text())
                time.sleep(0.02)
                address = re.search(r"event=listening.* address=(\S+)", logs[-1].read_text())
            addresses.append(address.group(1))
        started = [start(f"worker-{rank}", str(binaries / "cddp-worker"), f"--rank={rank}", f"--workers={workers}",
                         f"--servers={','.join(addresses)}", "--device=cuda", "--model=resnet50_shapes",
                         f"--compute_ms={compute_ms}", f"--bucket_bytes={bucket_bytes}", "--epochs=2",
                         "--batch_size=64", "--test_examples=1",
                         f"--train_examples={64 * workers * steps}") for rank in range(workers)]
        for worker in started:
            if worker.wait(timeout=120) != 0:
                sys.exit("\n".join(log.read_text() for log in logs))
        # The second epoch: the first has the warm-up in it.
        found = re.findall(r"event=epoch epoch=2 .*step_ms=([0-9.]+)", logs[2].read_text())
        step_ms = float(found[0])
    finally:
        for process in processes:
            process.kill()
            process.wait()
    buckets = f"_buckets_of_{bucket_bytes // 1024}_KiB" if bucket_bytes else ""
    print(f"result gpu_overhead_{workers}_workers{buckets} {100 * (step_ms - compute_ms) / compute_ms:.2f} %")
    shutil.rmtree(folder)


def main():
    step, binaries = sys.argv[1], pathlib.Path(sys.argv[2]).resolve()
    if step == "train":
        train_all(binaries)
    else:
        overhead(binaries, workers=1)
        overhead(binaries, workers=4)
        overhead(binaries, workers=1, bucket_bytes=512 * 1024)  # how much of it is the last bucket's way


if __name__ == "__main__":
    main()
