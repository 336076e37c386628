#!/usr/bin/env python3
"""Programs over libcddp against real servers: two workers in C train, and one is killed and goes on.

    library_test.py FOLDER_OF_PROGRAMS
"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "field"))
from programs import FieldTest, end, main, wait_for  # noqa: E402  (tests/field is where it lies)

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

    def test_a_rank_that_another_process_takes(self):
        server, address = self.start_server(f"--workers={WORKERS}", "--shards=1", "--lr=0.1", "--momentum=0")
        line = [address, str(WORKERS), "0", str(STEPS), "gradients"]
        first = self.start("linear_regression", *line, f"{self.folder}/first.state")
        server.until("event=join rank=0")
        second = self.start("linear_regression", *line, f"{self.folder}/second.state")
        wait_for(lambda: server.words().count("event=join rank=0") == 2, "the second to join")
        line[2] = "1"
        other = self.start("linear_regression", *line, f"{self.folder}/other.state")
        self.assertEqual(self.bits(second), self.bits(other), "the newer one and the others train")
        self.assertNotEqual(first.wait(), 0)
        self.assertIn("another process holds rank 0", first.words())


if __name__ == "__main__":
    main()
