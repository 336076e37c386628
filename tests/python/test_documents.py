"""What README and the documents tell people to type: commands, scripts and snippets."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest
from conftest import PROGRAMS, ROOT

PAGES = [ROOT / "README.md", ROOT / "python/README.md", *sorted((ROOT / "docs").glob("*.md"))]
# What a snippet's reader has already.
PRELUDE = """
import numpy
import torch
from torch.utils.data import DataLoader, TensorDataset
torch.manual_seed(1)
x = torch.randn(64, 10)
dataset = TensorDataset(x, x.sum(1, keepdim=True))
y = dataset.tensors[1]
x_test, y_test = x, y
loader = DataLoader(dataset, batch_size=8)
model = torch.nn.Linear(10, 1)
criterion = torch.nn.functional.mse_loss
import cddp
"""
EPILOGUE = """
for inputs, targets in loader:
    optimizer.zero_grad()
    criterion(model(inputs), targets).backward()
    optimizer.step()
optimizer.leave()
print("took part in a training")
"""


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)


def snippets(train):
    return [pytest.param(block, id=f"{page.name}-{number}") for page in PAGES
            for number, block in enumerate(blocks(page, "python")) if ("optimizer" in block) == train]


@pytest.mark.parametrize("snippet", snippets(train=False))
def test_a_snippet_runs(tmp_path, snippet):
    done = subprocess.run([sys.executable, "-c", PRELUDE + snippet], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("snippet", snippets(train=True))
def test_a_snippet_trains(start_run, snippet):
    flags = ["--optimizer_at=servers", "--optimizer=sgd", "--lr=0.05"] if "ServerOptimizer" in snippet else []
    run = start_run(PRELUDE + snippet + EPILOGUE, "--workers=2", "--servers=1", *flags)
    assert run.wait() == 0, run.words + run.log(1)
    assert "took part" in run.words


def commands():
    """Each line of a shell block, continued lines as one, without its comment."""
    for page in PAGES:
        for block in blocks(page, "sh") + blocks(page, ""):
            for line in block.replace("\\\n", " ").splitlines():
                if command := re.sub(r"\s+#.*", "", line).strip():
                    yield page.name, command


def help_of(*program):
    return subprocess.run([*program, "--help"], capture_output=True, text=True, check=False).stdout


def test_commands_name_programs_scripts_and_flags_that_exist():
    texts, checked = {}, 0
    for page, command in commands():
        for part in re.split(r"&&|\|", command):
            words = part.split()
            name = pathlib.Path(words[0]).name if words else ""
            if re.match(r"(scripts|tests|examples|deploy)/", part.strip()):
                assert (ROOT / words[0]).exists(), f"{page}: {command}"
                checked += 1
            if name not in ("cddp", "cddp-server", "cddp-worker") or len(words) < 2:
                continue
            program = (PROGRAMS / name, words[1]) if name == "cddp" else (PROGRAMS / name,)
            if program not in texts:
                texts[program] = help_of(*program)
            own = words[: words.index("--")] if "--" in words else words
            for flag in re.findall(r"--(?:no)?(\w+)", " ".join(own)):
                assert re.search(rf"--\[?(?:no)?\]?{flag}\b", texts[program]), f"{page}: --{flag} of {command}"
                checked += 1
    assert checked > 30


def test_the_reference_says_what_the_package_says():
    done = subprocess.run([sys.executable, ROOT / "docs/make_python_reference", "--check"], capture_output=True, text=True, timeout=120,
                          check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_readmes_way_to_install_the_package(tmp_path, images):
    tree = tmp_path / "tree"
    for folder in ("python", "scripts", "examples"):
        shutil.copytree(ROOT / folder, tree / folder, ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info"))
    (tree / "build/release").mkdir(parents=True)
    (tree / "build/release/bin").symlink_to(PROGRAMS)
    (tree / "build/release/lib").symlink_to(pathlib.Path(os.environ["CDDP_LIBRARY"]).parent)
    (tree / "data").mkdir()
    (tree / "data/mnist").symlink_to(images)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python3").symlink_to(sys.executable)
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "CDDP_LIBRARY")}
    environment.update(PATH=f"{tmp_path}/bin:{environment['PATH']}", PIP_NO_INDEX="1")  # no package index
    (block,) = [block for block in blocks(ROOT / "README.md", "sh") if "pip install" in block]
    setup, *lines = [re.sub(r"\s+#.*", "", line) for line in block.splitlines()]
    assert setup.startswith("scripts/setup --tests && scripts/build release")  # packages and programs are there
    for line in lines:
        done = subprocess.run(line, shell=True, cwd=tree, env=environment, capture_output=True, text=True, timeout=280, check=False)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    assert "accuracy" in done.stdout
