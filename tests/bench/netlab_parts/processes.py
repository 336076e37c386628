"""Child processes that end with the measurement, and the processor time they use."""

import os
import subprocess
import tempfile

TICKS = os.sysconf("SC_CLK_TCK")


class Processes:
    """A context manager: kills what still runs at the end. Error output goes to files that are shown on failure."""

    def __init__(self):
        self.children = []
        self.logs = tempfile.TemporaryDirectory(prefix="netlab")

    def start(self, command, env=None):
        log = open(os.path.join(self.logs.name, f"{len(self.children)}.log"), "w+")
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=env)
        child.log = log
        self.children.append(child)
        return child

    def cpu_seconds(self):
        """Of all that run, so far."""
        total = 0
        for child in self.children:
            try:
                with open(f"/proc/{child.pid}/stat") as stat:
                    fields = stat.read().rpartition(")")[2].split()
            except OSError:
                continue
            total += int(fields[11]) + int(fields[12])  # user and system
        return total / TICKS

    def failure(self):
        """What the first child that failed, or else any, has said."""
        children = sorted(self.children, key=lambda child: not child.poll())
        for child in children:
            child.log.seek(0)
            text = child.log.read().strip()
            if text:
                return "\n".join(text.splitlines()[-8:])
        return "no child has said why"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for child in self.children:
            if child.poll() is None:
                child.kill()
        for child in self.children:
            child.wait()
            child.stdout.close()
            child.log.close()
        self.logs.cleanup()
