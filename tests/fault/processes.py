"""Programs that are killed, stopped and started again."""

import json
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

# The kernel may take pages of files back, and swap others out; it may do so while we measure, and hide a leak.
MEMORY = ("RssAnon", "RssShmem", "VmSwap")



def run_in_folder(run, seed, prefix, keep=False):
    """Calls run(folder), which says whether all was well, with a folder of its own; that stays, with all logs, if it was
    not, or with `keep`. Returns the exit code."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = pathlib.Path(tempfile.mkdtemp(prefix=prefix))
    good = False
    try:
        good = run(folder)
    finally:
        if good and not keep:
            shutil.rmtree(folder)
        else:
            print(f"logs are in {folder}")
    print("PASSED" if good else f"FAILED with --seed={seed}")
    return 0 if good else 1


def kill_all(processes):
    for process in processes:
        process.send(signal.SIGKILL)
    for process in processes:
        if process.popen is not None:
            process.popen.wait()


class Process:
    """One program, started again under its name; what it writes is appended to files of that name."""

    def __init__(self, name, argv, folder):
        self.name, self.argv = name, argv
        self.out, self.err = folder / f"{name}.out", folder / f"{name}.err"
        self.memory = []  # (seconds, bytes) of this life
        self.popen = None

    def start(self):
        self.memory = []
        with self.out.open("ab") as out, self.err.open("ab") as err:
            self.popen = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err)

    def alive(self):
        return self.popen is not None and self.popen.poll() is None

    def send(self, number):
        if self.alive():
            self.popen.send_signal(number)

    def kill(self):
        self.send(signal.SIGKILL)
        self.popen.wait()

    def sample_memory(self, now):
        if self.alive():
            fields = dict(line.split(":") for line in pathlib.Path(f"/proc/{self.popen.pid}/status").open())
            if "RssAnon" in fields:  # not a zombie
                self.memory.append((now, sum(int(fields[name].split()[0]) for name in MEMORY) * 1024))

    def last_event(self, kind):
        """Its newest line on standard output that tells of this."""
        with self.out.open("rb") as file:
            file.seek(max(0, self.out.stat().st_size - 20000))
            for line in reversed(file.read().splitlines()):
                try:
                    event = json.loads(line)
                except ValueError:  # cut by the seek, or by a kill
                    continue
                if isinstance(event, dict) and event.get("event") == kind:
                    return event
        return None
