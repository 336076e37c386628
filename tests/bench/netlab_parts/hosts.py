"""Emulated hosts: a network namespace each, on one switch, with both directions of each link shaped."""

import contextlib
import json
import os
import re
import subprocess

QUEUE_MS = 50  # of each shaper: what a shallow switch or a network card holds


def run(*command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def bits_per_second(rate):
    """Of tc's notation: 100mbit, 1gbit, 512kbit."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kmg])bit", rate)
    if not match:
        raise ValueError(f"'{rate}' is not a rate: use 100mbit or 1gbit")
    return float(match[1]) * {"k": 1e3, "m": 1e6, "g": 1e9}[match[2]]


class Hosts:
    """`count` hosts 10.77.0.1, 10.77.0.2, ... A context manager: leaves nothing behind, whatever happens."""

    def __init__(self, count, rate):
        self.count = count
        self.rate = rate
        self.prefix = f"netlab{os.getpid()}"
        self.switch = f"{self.prefix}-switch"

    def namespace(self, host):
        return f"{self.prefix}-{host}"

    @staticmethod
    def address(host):
        return f"10.77.0.{host + 1}"

    def inside(self, host):
        """What a command must begin with to run on the host."""
        return ["ip", "netns", "exec", self.namespace(host)]

    def __enter__(self):
        try:
            self._make()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _make(self):
        run("ip", "netns", "add", self.switch)
        run("ip", "-n", self.switch, "link", "add", "switch0", "type", "bridge")
        run("ip", "-n", self.switch, "link", "set", "switch0", "up")
        for host in range(self.count):
            name = self.namespace(host)
            port = f"port{host}"
            run("ip", "netns", "add", name)
            run("ip", "-n", self.switch, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", name)
            run("ip", "-n", self.switch, "link", "set", port, "master", "switch0", "up")
            run("ip", "-n", name, "link", "set", "lo", "up")
            run("ip", "-n", name, "link", "set", "eth0", "up")
            run("ip", "-n", name, "address", "add", f"{self.address(host)}/24", "dev", "eth0")
            self._shape(name, "eth0")        # what the host sends
            self._shape(self.switch, port)   # what it receives

    def _shape(self, namespace, device):
        # A burst is what the kernel hands over at one timer tick; it must hold one packet as the card would cut it.
        burst = max(16 * 1024, int(bits_per_second(self.rate) / 8 * 0.001))
        run("tc", "-n", namespace, "qdisc", "add", "dev", device, "root", "tbf", "rate", self.rate, "burst",
            str(burst), "latency", f"{QUEUE_MS}ms")

    def sent_bytes(self):
        """What all hosts together have put on their links, as the kernel counts it."""
        total = 0
        for host in range(self.count):
            shown = subprocess.run(["ip", "-n", self.namespace(host), "-s", "-j", "link", "show", "dev", "eth0"],
                                   check=True, capture_output=True, text=True).stdout
            total += json.loads(shown)[0]["stats64"]["tx"]["bytes"]
        return total

    def __exit__(self, *_):
        for name in [*map(self.namespace, range(self.count)), self.switch]:
            with contextlib.suppress(OSError):
                subprocess.run(["ip", "netns", "delete", name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
