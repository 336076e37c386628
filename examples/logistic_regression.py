"""Logistic regression in NumPy alone.   cddp run --workers=4 --servers=1 -- python3 examples/logistic_regression.py"""

import os

import numpy

import cddp

FEATURES, EXAMPLES, STEPS, RATE = 500, 2000, 200, 1.0

truth = numpy.random.default_rng(1).normal(size=FEATURES)
numbers = numpy.random.default_rng(100 + int(os.environ["RANK"]))  # each worker has its own examples
x = numbers.normal(size=(EXAMPLES, FEATURES)).astype(numpy.float32)
y = x @ truth > 0

weights = numpy.zeros(FEATURES, numpy.float32)
with cddp.Arrays({"weights": weights}, ratio=0.1, local_steps=2) as training:
    for _ in range(STEPS):
        guess = 1 / (1 + numpy.exp(-(x @ weights)))
        weights -= RATE * (x.T @ (guess - y)) / EXAMPLES  # in place
        training.step(loss=float(-numpy.log(numpy.where(y, guess, 1 - guess) + 1e-9).mean()))
print(f"loss {training.loss:.4f}, {100 * ((x @ weights > 0) == y).mean():.1f} % right")
