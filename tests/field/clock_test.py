#!/usr/bin/python3
"""Somebody sets the clock of a machine that trains: no time-out, duration or rate follows it.

usage: clock_test.py FOLDER_OF_PROGRAMS JUMPING_CLOCK [TEST...]

JUMPING_CLOCK: the library made from jumping_clock.cc, whose wall clock is set an hour forwards and back all the time.
"""

import json
import os
import pathlib
import sys

import programs
from programs import FieldTest

JUMPING_CLOCK = pathlib.Path(sys.argv.pop(2)).resolve()
HOUR = 3600


class Clock(FieldTest):
    def setUp(self):
        super().setUp()
        self.env = dict(os.environ, LD_PRELOAD=str(JUMPING_CLOCK))

    def test_a_run_and_all_times_that_it_reports(self):
        trained = self.train("run", "--workers=2", "--servers=2", "--epochs=20", "--trace", env=self.env)
        self.assertEqual(trained.code, 0, trained.words() + trained.output())
        report = self.report("run")
        times = {name: value for epoch in report["epochs"] for name, value in epoch.items()
                 if name.endswith("seconds") and value is not None}
        self.assertTrue(times)
        times["all"] = report["seconds"]
        for name, seconds in times.items():
            self.assertGreaterEqual(seconds, 0, name)
            self.assertLess(seconds, HOUR / 2, name)
        traces = list((self.folder / "run").glob("trace-*.json"))
        self.assertEqual(len(traces), 2)
        for trace in traces:
            for event in json.loads(trace.read_text()):
                self.assertLess(event.get("dur", 0), HOUR / 2 * 1e6, event)
                self.assertGreaterEqual(event.get("dur", 0), 0, event)

    def test_waiting_for_a_worker_and_for_a_server(self):
        server, address = self.start_server("--workers=2", "--lease=3s", env=self.env)
        worker = self.start_worker(address, "--rank=0", "--workers=2", env=self.env)
        worker.until("event=step_waits for_workers=1 seconds=")
        self.assertIsNone(worker.process.poll(), worker.words())
        for line in worker.words().splitlines() + server.words().splitlines():
            if "event=step_waits" in line or "event=round_waits" in line:
                seconds = float(line.split(" seconds=")[1].split()[0])
                self.assertLess(abs(seconds), HOUR / 2, line)
        status = self.run_to_end("cddp", "status", "--json", f"--servers={address}", env=self.env)
        waiting = int(json.loads(status.output())["servers"][0]["status"]["waiting_ms"])
        self.assertLess(waiting, HOUR / 2 * 1000)
        last = self.start_worker(address, "--rank=1", "--workers=2", env=self.env)
        for each in (worker, last):
            self.assertEqual(each.wait(), 0, each.words())


if __name__ == "__main__":
    programs.main()
