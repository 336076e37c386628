#!/usr/bin/python3
"""Training at full load by real processes, with faults all along: servers and workers are killed (SIGKILL) and started
again, or stand still (SIGSTOP) for a while, at random. Server 0 and worker 0 live through it all, though they stand
still too: their memory must not grow. No log line may be a warning or an error but those explained below, no process
may end by itself, and all replicas must be equal in the end.

usage: soak.py FOLDER_OF_PROGRAMS --seconds=N [--seed=N] [--keep]

Lines "result NAME VALUE UNIT" at the end. Exits with 1, keeping its folder with all logs, if anything is wrong.
"""

import argparse
import heapq
import pathlib
import random
import re
import signal
import statistics
import struct
import sys
import time

from processes import Process, kill_all, run_in_folder

SERVERS = 2
WORKERS = 3
LEASE = 4.0
CHECKPOINT_EVERY = 50
LOG_VERSIONS = 20 * CHECKPOINT_EVERY
MOST_GROWTH = 5.0  # percent
TRAIN_EXAMPLES = 9600
SIDE = 28
HALF = SIDE // 2
PATIENCE = 120

# Warnings that the faults explain, by event. Everything else that is not "info" is a finding.
EXPLAINED = {
    "heartbeat_failed": "a server was killed or stood still",
    "waiting_for_server": "the same",
    "worker_lost": "a worker was away for longer than its lease",
    "steps_missed": "the same, told by the worker",
    "journal_tail_cut": "a server was killed while it wrote",
    "older_checkpoint": "a worker was killed between the two renames of a checkpoint",
    "checkpoint_left_out": "the disk was slower than the steps",
    "stopped_at_once": "at the end workers are stopped in the middle of a round, which cannot close then",
}
# Explained only where the line after it says that the worker missed more versions than the servers keep.
LEFT_BEHIND = "weights_replaced"
MISSED = re.compile(r" event=steps_missed .* missed=(\d+) ")
LOG_LINE = re.compile(r"^\S+ level=(\w+) event=(\w+)")


def write_data(folder):
    """IDX files like those of tests/integration/small_data_set.h, more of them, and as large as MNIST's."""
    folder.mkdir()
    rng = random.Random(1)
    for name, count in (("train", TRAIN_EXAMPLES), ("t10k", 100)):
        images = bytearray(struct.pack(">IIII", 0x803, count, SIDE, SIDE))
        labels = bytearray(struct.pack(">II", 0x801, count))
        for i in range(count):
            label = i % 4
            labels.append(label)
            noise = rng.randbytes(SIDE * SIDE)
            images += bytes(
                noise[p] // 4 + (150 if (p // SIDE // HALF, p % SIDE // HALF) == (label // 2, label % 2) else 0)
                for p in range(SIDE * SIDE)
            )
        (folder / f"{name}-images-idx3-ubyte").write_bytes(images)
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(labels)


class Soak:
    def __init__(self, programs, folder, seconds, seed):
        self.programs, self.folder, self.seconds = programs, folder, seconds
        self.random = random.Random(seed)
        self.counts = {}
        self.findings = []
        self.servers, self.workers = [], []
        write_data(folder / "data")

    def processes(self):
        return self.servers + self.workers

    def start_servers(self):
        for shard in range(SERVERS):
            argv = [self.programs / "cddp-server", "--listen=127.0.0.1:0", "--metrics_listen=", "--progress=json",
                    f"--shard={shard}", f"--shards={SERVERS}", f"--workers={WORKERS}", "--lr=0.01",
                    "--publish_ratio=0.02", f"--lease={LEASE}s", f"--log_versions={LOG_VERSIONS}",
                    f"--state_dir={self.folder}/state-{shard}"]
            server = Process(f"server-{shard}", argv, self.folder)
            self.servers.append(server)
            server.start()
            self.wait(lambda s=server: s.last_event("listening"), f"{server.name} listens")
            argv[1] = f"--listen={server.last_event('listening')['address']}"

    def worker_argv(self, rank, epochs):
        servers = ",".join(server.argv[1].split("=")[1] for server in self.servers)
        return [self.programs / "cddp-worker", f"--rank={rank}", f"--workers={WORKERS}", f"--servers={servers}",
                "--model=mlp", "--batch_size=16", "--ratio=0.02", "--bucket_bytes=16384", f"--epochs={epochs}",
                f"--data_dir={self.folder}/data", "--metrics_listen=", "--progress=json",
                f"--checkpoint_dir={self.folder}/checkpoints", f"--checkpoint_every={CHECKPOINT_EVERY}"]

    def start_workers(self):
        for rank in range(WORKERS):
            worker = Process(f"worker-{rank}", self.worker_argv(rank, 1_000_000), self.folder)
            self.workers.append(worker)
            worker.start()

    def wait(self, condition, what):
        end = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(f"after {PATIENCE} s it did not come: {what}")
            time.sleep(0.02)

    def fault(self, now, later):
        """One fault; what ends it goes to `later`, a heap of (time, order, action)."""
        kind = self.random.choice(["server_kill", "server_stop", "worker_kill", "worker_stop"])
        group = self.servers if kind.startswith("server") else self.workers
        victim = self.random.choice(group[1:] if kind.endswith("kill") else group)
        long = self.random.random() < 0.15
        seconds = self.random.uniform(LEASE, 1.5 * LEASE) if long else self.random.uniform(0.02, 1.5)
        if victim in self.away:
            return
        self.away.add(victim)
        self.counts[kind] = self.counts.get(kind, 0) + 1
        away = seconds if long or kind.endswith("stop") else 0
        with (self.folder / "faults").open("a") as faults:  # for whoever has to explain a line of the logs
            faults.write(f"{time.strftime('%H:%M:%S', time.gmtime())} {kind} {victim.name} {away:.1f} s\n")
        if kind.endswith("kill"):
            victim.kill()
            heapq.heappush(later, (now + away, len(self.counts), id(victim), victim.start, victim))
        else:
            victim.send(signal.SIGSTOP)
            heapq.heappush(later, (now + seconds, len(self.counts), id(victim),
                                   lambda: victim.send(signal.SIGCONT), victim))

    def look_for_ends(self):
        for process in self.processes():
            if process not in self.away and not process.alive():
                self.findings.append(f"{process.name} ended by itself with {process.popen.returncode}")
                process.start()

    def disturb(self):
        self.away = set()
        later = []
        begin = time.monotonic()
        next_fault = next_sample = begin + 1
        while (now := time.monotonic()) < begin + self.seconds or later:
            while later and later[0][0] <= now:
                *_, action, victim = heapq.heappop(later)
                action()
                self.away.discard(victim)
            if now >= next_fault and now < begin + self.seconds:
                self.fault(now, later)
                next_fault = now + self.random.uniform(1, 6)
            if now >= next_sample:
                for process in self.processes():
                    process.sample_memory(now - begin)
                next_sample = now + 0.5
            self.look_for_ends()
            time.sleep(0.02)

    def finish(self):
        """Stops the workers, and has them go on from their checkpoints to a common end."""
        epoch = max(worker.last_event("step")["epoch"] for worker in self.workers)
        for worker in self.workers:
            worker.send(signal.SIGTERM)
        for worker in self.workers:
            if worker.popen.wait(PATIENCE) != -signal.SIGTERM and worker.popen.returncode != 128 + signal.SIGTERM:
                self.findings.append(f"{worker.name} ended with {worker.popen.returncode} on SIGTERM")
        for rank, worker in enumerate(self.workers):
            worker.argv = self.worker_argv(rank, epoch + 5)
            worker.start()
        for worker in self.workers:
            if worker.popen.wait(PATIENCE) != 0:
                self.findings.append(f"{worker.name} ended with {worker.popen.returncode}")
        ends = [worker.last_event("done") for worker in self.workers]
        print(f"ends: {ends}")
        self.steps = ends[0]["steps"] if ends[0] else 0
        return None not in ends and len({(end["steps"], end["weights_crc32c"]) for end in ends}) == 1

    def growth(self, process):
        """Percent, from the mean of the second fifth to that of the last; the logs of updates fill during the first."""
        fifth = lambda number: statistics.mean(
            size for at, size in process.memory if number <= 5 * at / self.seconds < number + 1)
        first, last = fifth(1), fifth(4)
        print(f"{process.name}'s own memory: {first / 1e6:.1f} MB in the second fifth, {last / 1e6:.1f} MB in the last, "
              f"at most {max(size for _, size in process.memory) / 1e6:.1f} MB")
        (self.folder / f"{process.name}.memory").write_text("".join(f"{at:.1f} {size}\n" for at, size in process.memory))
        return 100 * (last / first - 1)

    def read_logs(self):
        """Lines that nothing explains; prints how often each explained one came."""
        unexplained, explained = [], {}
        for process in self.processes():
            lines = process.err.read_text(errors="replace").splitlines()
            for line, after in zip(lines, lines[1:] + [""]):
                level, event = match.groups() if (match := LOG_LINE.match(line)) else ("none", "none")
                if level in ("info", "debug"):
                    continue
                missed = MISSED.search(after)
                if event == LEFT_BEHIND and missed and int(missed[1]) >= LOG_VERSIONS:
                    explained[event] = explained.get(event, 0) + 1
                elif event in EXPLAINED:
                    explained[event] = explained.get(event, 0) + 1
                elif "stopped by a signal after step" not in line:
                    unexplained.append(f"{process.name}: {line}")
        for event, count in sorted(explained.items()):
            why = EXPLAINED.get(event, "a worker was away for more versions than the servers keep")
            print(f"explained: {event} {count} times ({why})")
        return unexplained

    def run(self):
        self.start_servers()
        self.start_workers()
        self.wait(lambda: all(w.last_event("step") for w in self.workers), "training begins")
        lived = [(p, p.popen.pid) for p in (self.servers[0], self.workers[0])]
        self.disturb()
        for process, pid in lived:
            if process.popen.pid != pid:
                self.findings.append(f"{process.name} did not live through it")
        growth = [self.growth(process) for process, _ in lived]
        equal = self.finish()
        unexplained = self.read_logs() + self.findings
        for line in unexplained[:50]:
            print(f"unexplained: {line}")
        for kind, count in sorted(self.counts.items()):
            print(f"result soak_{kind}s {count} faults")
        print(f"result soak_seconds {self.seconds:g} s")
        print(f"result soak_steps {self.steps} steps")
        print(f"result soak_faults {sum(self.counts.values())} faults")
        print(f"result memory_growth_server {growth[0]:.2f} %")
        print(f"result memory_growth_worker {growth[1]:.2f} %")
        print(f"result unexplained_errors {len(unexplained)} lines")
        print(f"result weights_equal {int(equal)} bool")
        return equal and not unexplained and max(growth) <= MOST_GROWTH


def main():
    parser = argparse.ArgumentParser(usage="soak.py FOLDER_OF_PROGRAMS --seconds=N [--seed=N] [--keep]")
    parser.add_argument("programs", type=pathlib.Path)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="keep the folder with all logs")
    args = parser.parse_args()

    def run(folder):
        soak = Soak(args.programs.resolve(), folder, args.seconds, args.seed)
        try:
            return soak.run()
        finally:
            kill_all(soak.processes())

    return run_in_folder(run, args.seed, "cddp-soak-", args.keep)


if __name__ == "__main__":
    sys.exit(main())
