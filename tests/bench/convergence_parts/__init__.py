"""The parts of tests/bench/convergence."""
