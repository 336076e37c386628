"""Our programs as people start them. A test file is called with the folder of the programs."""

import json
import os
import pathlib
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from small_images import write_images  # noqa: E402  (tests/support is where it lies)

DEADLINE = 60  # seconds for anything that is waited for
ROOT = pathlib.Path(__file__).resolve().parents[2]
CERTIFICATES = ROOT / "tests" / "integration" / "certificates"
# Debian's, which has NumPy and PyTorch.
PYTHON = "/usr/bin/python3"


def has_module(name):
    return subprocess.run([PYTHON, "-c", f"import {name}"], capture_output=True).returncode == 0


class Program:
    """One running program; `log` has its standard error, `out` its standard output."""

    def __init__(self, folder, name, flags, **options):
        self.log = folder / f"{pathlib.Path(name).name}-{time.monotonic_ns()}.log"
        self.out = self.log.with_suffix(".out")
        with open(self.log, "w") as err, open(self.out, "w") as out:
            self.process = subprocess.Popen([PROGRAMS / name, *flags], stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                                            **options)

    def words(self):
        return self.log.read_text()

    def output(self):
        return self.out.read_text()

    def wait(self):
        return self.process.wait(DEADLINE)

    def until(self, text):
        """Waits until it has said `text` on either of its outputs."""
        wait_for(lambda: text in self.words() + self.output() or self.process.poll() is not None, repr(text))
        if text not in self.words() + self.output():
            raise AssertionError(f"ended with {self.process.poll()} before {text!r}:\n{self.words()}{self.output()}")


def wait_for(condition, what):
    end = time.monotonic() + DEADLINE
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"waited in vain for {what}")
        time.sleep(0.02)


class Proxy:
    """A network between programs and a server at `address`: what the server sends comes at `rate` bytes a second over each
    connection, and `delay` seconds late. The address can lead to another server from now on, and connections be cut."""

    def __init__(self, address, rate=None, delay=0):
        self.lead(address)
        self.rate = rate
        self.delay = delay
        self.connections = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def lead(self, address):
        self.target = ("127.0.0.1", int(address.rsplit(":", 1)[1]))

    def cut(self):
        """Returns how many connections there were."""
        cut, self.connections = self.connections, []
        for client, server in cut:
            for end_of_it in (client, server):
                try:
                    end_of_it.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass  # it has ended
        return len(cut)

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return  # the test is over
            server = socket.socket()
            if self.rate is not None:
                server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)  # or the kernel would be a fast network
            try:
                server.connect(self.target)
            except OSError:
                client.close()
                continue
            self.connections.append((client, server))
            threading.Thread(target=self.carry, args=(client, server, None, self.delay), daemon=True).start()
            threading.Thread(target=self.carry, args=(server, client, self.rate, self.delay), daemon=True).start()

    @staticmethod
    def carry(source, sink, rate, delay):
        late = queue.SimpleQueue()  # with the time at which it may go on, or None at the end
        threading.Thread(target=Proxy.deliver, args=(late, sink), daemon=True).start()
        try:
            while data := source.recv(4096 if rate is not None else 1 << 16):
                late.put((time.monotonic() + delay, data))
                if rate is not None:
                    time.sleep(len(data) / rate)
        except OSError:
            pass  # one of the two has ended
        late.put(None)

    @staticmethod
    def deliver(late, sink):
        try:
            while (piece := late.get()) is not None:
                time.sleep(max(0, piece[0] - time.monotonic()))
                sink.sendall(piece[1])
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # likewise

    def close(self):
        self.listener.close()


class FieldTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        write_images(self.folder / "data")
        self.small = [f"--data_dir={self.folder}/data", "--model=mlp", "--epochs=2", "--batch_size=16"]

    def start(self, name, *flags, **options):
        program = Program(self.folder, name, flags, **options)
        self.addCleanup(end, program.process)
        return program

    def run_to_end(self, name, *flags, **options):
        program = self.start(name, *flags, **options)
        program.code = program.wait()
        return program

    def train(self, output, *flags, **options):
        """cddp train to the end, in FOLDER/output."""
        return self.run_to_end("cddp", "train", *self.small, f"--output={self.folder}/{output}", *flags, **options)

    def start_server(self, *flags, **options):
        """Returns the program and its address."""
        server = self.start("cddp-server", "--listen=127.0.0.1:0", "--metrics_listen=", "--progress=json", *flags, **options)
        server.until('"metrics_address"')
        return server, json.loads(server.output().splitlines()[0])["address"]

    def start_worker(self, address, *flags, **options):
        return self.start("cddp-worker", f"--servers={address}", "--metrics_listen=", *self.small, *flags, **options)

    def tls(self):
        """The flags of a server with certificates of its own, and of its clients."""
        folder = self.folder / "certificates"
        folder.mkdir()
        subprocess.run([CERTIFICATES, folder], check=True)
        return ([f"--tls_cert_file={folder}/server/cert.pem", f"--tls_key_file={folder}/server/key.pem"],
                [f"--tls_ca_file={folder}/ca.pem"])

    def start_proxy(self, address, **options):
        proxy = Proxy(address, **options)
        self.addCleanup(proxy.close)
        return proxy

    def python(self, script, **environment):
        """The words and the options of a process that runs this Python text with our package."""
        file = self.folder / f"script-{time.monotonic_ns()}.py"
        file.write_text(script)
        ours = {"PYTHONPATH": str(ROOT / "python"), "CDDP_LIBRARY": str(PROGRAMS.parent / "lib/libcddp.so.1")}
        return [PYTHON, "-B", str(file)], {"env": {**os.environ, **ours, **environment}}

    def start_python(self, script, **environment):
        words, options = self.python(script, **environment)
        return self.start(words[0], *words[1:], **options)

    def run_script(self, output, script, *flags, **environment):
        """cddp run of this Python text to the end, in FOLDER/output."""
        words, options = self.python(script, **environment)
        return self.run_to_end("cddp", "run", f"--output={self.folder}/{output}", *flags, "--", *words, **options)

    def report(self, output):
        return json.loads((self.folder / output / "report.json").read_text())


def end(process):
    if process.poll() is None:
        process.send_signal(signal.SIGKILL)
    process.wait(DEADLINE)


def main():
    global PROGRAMS
    PROGRAMS = pathlib.Path(sys.argv.pop(1)).resolve()
    unittest.main(module="__main__", verbosity=2)
