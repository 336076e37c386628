#!/usr/bin/env python3
"""Programs over libcddp against real servers: two workers in C train, and one is killed and goes on.

    library_test.py FOLDER_OF_PROGRAMS
"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "field"))
from programs import FieldTest, end, main  # noqa: E402  (tests/field is where it lies)

WORKERS = 2
STEPS = 120


class LibraryTest(FieldTest):
    def start_training(self, push):
        """Returns the workers and their command lines, against fresh servers."""
        flags = [f"--workers={WORKERS}", "--shards=1", "--log_versions=100", "--exit_when_finished"]
        flags += ["--lr=0.1", "--momentum=0"] if push == "gradients" else ["--lr=1", "--momentum=0"]
        _, address = self.start_server(*flags)
        lines = [[address, str(WORKERS), str(rank), str(STEPS), push, f"{self.folder}/{push}-{rank}.state"]
                 for rank in range(WORKERS)]
        return [self.start("linear_regression", *line) for line in lines], lines

    def bits(self, worker):
        self.assertEqual(worker.wait(), 0, worker.words() + worker.output())
        return [line for line in worker.output().splitlines() if line.startswith("bits")]

    def train(self, push, kill):
        workers, lines = self.start_training(push)
        if kill:
            workers[1].until("step 55 ")
            end(workers[1].process)
            workers[1] = self.start("linear_regression", *lines[1])
        bits = [self.bits(worker) for worker in workers]
        self.assertEqual(bits[0], bits[1], "the workers' weights differ")
        if kill:
            self.assertNotIn("step 1 ", workers[1].output(), "it began anew")
        for state in self.folder.glob("*.state"):
            state.unlink()
        return bits[0]

    def test_by_gradients_a_killed_worker_goes_on_from_its_state(self):
        self.assertEqual(self.train("gradients", kill=False), self.train("gradients", kill=True))

    def test_by_weights_a_killed_worker_goes_on_from_its_state(self):
        self.assertEqual(self.train("weights", kill=False), self.train("weights", kill=True))


if __name__ == "__main__":
    main()
