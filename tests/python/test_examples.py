"""Each example, small; and what docs/from-ddp.md says."""

import re

from conftest import ROOT

EXAMPLES = ROOT / "examples"


def run_example(start_run, name, *flags, arguments=()):
    run = start_run((EXAMPLES / name).read_text(), *flags, arguments=[str(word) for word in arguments])
    assert run.wait() == 0, run.words
    return run


def numbers(words, pattern):
    return [float(number) for number in re.findall(pattern, words)]


def test_mnist(start_run, images):
    run = run_example(start_run, "mnist.py", "--workers=2", "--servers=2", arguments=[images])
    assert numbers(run.words, r"accuracy ([\d.]+)")[-1] > 90, run.words


def test_gpt(start_run, tmp_path):
    (tmp_path / "text").write_text("the quick brown fox jumps over the lazy dog. " * 200)
    run = run_example(start_run, "gpt.py", "--workers=2", "--servers=2", arguments=[tmp_path / "text", 50])
    assert numbers(run.words, r"step 50: loss ([\d.]+)")[0] < 3.5, run.words  # of 5.5


def test_resnet18(start_run, images):
    run = run_example(start_run, "resnet18.py", "--workers=2", "--servers=2", "--durable", arguments=[images, 20])
    losses = numbers(run.words, r"loss ([\d.]+)")
    assert len(losses) == 2 and losses[-1] < 2.3, run.words
    assert {path.name for path in (run.output / "checkpoints").iterdir()} == {"worker-0.pt", "worker-1.pt"}


def test_logistic_regression(start_run):
    run = run_example(start_run, "logistic_regression.py", "--workers=2", "--servers=1")
    assert numbers(run.words, r"([\d.]+) % right")[0] > 90, run.words


def test_examples_fit_on_a_screen():
    for example in EXAMPLES.glob("*.py"):
        assert len(example.read_text().splitlines()) <= 65, example


def blocks(language):
    page = (ROOT / "docs/from-ddp.md").read_text()
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


def test_the_script_of_the_page_runs(start_run):
    (diff,) = blocks("diff")
    script = "\n".join(line[1:] for line in diff.splitlines() if line[:1] in ("+", " "))
    run = start_run(script, "--workers=2", "--servers=2")
    assert run.wait() == 0, run.words + run.log(1)
    assert "loss" in run.words


def test_the_examples_that_the_page_names_are_there():
    for path in re.findall(r"`(examples/[\w.]+)`", (ROOT / "docs/from-ddp.md").read_text()):
        assert (ROOT / path).exists(), path
