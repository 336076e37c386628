#!/usr/bin/python3
"""How long a worker and every tool try to reach a server: as long as their flags say, not shorter, and again and again.

usage: patience_test.py FOLDER_OF_PROGRAMS [TEST...]
"""

import re
import socket
import time

import programs
from programs import FieldTest, end


class Patience(FieldTest):
    def closed_port(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            return listener.getsockname()[1]

    def expect_given_up_after(self, seconds, began, program, exit_code=1):
        """By its own words and by the clock."""
        self.assertEqual(program.wait(), exit_code, program.words())
        self.assertGreaterEqual(time.monotonic() - began, seconds)
        said = re.search(r"(?:out of reach for|no rank within) (\d+(?:\.\d+)?)s", program.words())
        if said:
            self.assertGreaterEqual(float(said[1]), seconds)
            self.assertLess(float(said[1]), seconds + 5)
        return said

    def test_everybody_who_finds_nobody(self):
        for name, flags, seconds in (
                ("cddp-worker", ["--server_timeout=5s", *self.small, "--metrics_listen="], 5),
                ("cddp-worker", ["--server_timeout=2s", "--rank=auto", *self.small, "--metrics_listen="], 2),
                ("cddp", ["checkpoint", "--reach_timeout=2s"], 2),
                ("cddp", ["status", "--timeout=2s", "--interval=10ms"], 2)):
            with self.subTest(name=name, flags=flags):
                began = time.monotonic()
                program = self.start(name, *flags, f"--servers=127.0.0.1:{self.closed_port()}")
                said = self.expect_given_up_after(seconds, began, program)
                self.assertTrue(said or "status" in flags, program.words())

    def test_a_server_that_goes_in_the_middle_of_training(self):
        server, address = self.start_server()
        worker = self.start_worker(address, "--server_timeout=3s", "--epochs=100000", "--progress=json")
        worker.until('"event":"epoch"')
        began = time.monotonic()
        end(server.process)
        self.assertTrue(self.expect_given_up_after(3, began, worker), worker.words())

    def test_a_server_that_comes_meanwhile(self):
        """All of them try again before their time is over."""
        port = self.closed_port()
        waiting = [self.start_worker(f"127.0.0.1:{port}", "--workers=2", "--server_timeout=30s"),
                   self.start("cddp", "status", f"--servers=127.0.0.1:{port}", "--timeout=30s", "--interval=10ms"),
                   self.start("cddp-worker", "--rank=auto", f"--servers=127.0.0.1:{port}", "--server_timeout=30s", *self.small,
                              "--metrics_listen=", "--workers=2")]
        waiting[0].until("event=waiting_for_server")
        self.start("cddp-server", f"--listen=127.0.0.1:{port}", "--metrics_listen=", "--workers=2")
        self.assertEqual(waiting[1].wait(), 0, waiting[1].output())
        waiting[2].until("event=run name=")
        waiting[0].process.kill()
        waiting[0].wait()


if __name__ == "__main__":
    programs.main()
