"""The parts of tests/bench/netlab."""
