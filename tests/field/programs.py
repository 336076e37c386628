"""Our programs as people start them. A test file is called with the folder of the programs."""

import json
import pathlib
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


class Program:
    """One running program; `log` has its standard error, `out` its standard output."""

    def __init__(self, folder, name, flags, **options):
        self.log = folder / f"{name}-{time.monotonic_ns()}.log"
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
    connection."""

    def __init__(self, address, rate):
        self.target = ("127.0.0.1", int(address.rsplit(":", 1)[1]))
        self.rate = rate
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return  # the test is over
            server = socket.socket()
            server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)  # or the kernel would be a fast network
            server.connect(self.target)
            threading.Thread(target=self.carry, args=(client, server, None), daemon=True).start()
            threading.Thread(target=self.carry, args=(server, client, self.rate), daemon=True).start()

    @staticmethod
    def carry(source, sink, rate):
        try:
            while data := source.recv(4096):
                sink.sendall(data)
                if rate is not None:
                    time.sleep(len(data) / rate)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # one of the two has ended

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
