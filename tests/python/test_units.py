"""What needs no servers: the environment, shards, exceptions, the library's version."""

import os
import re
import subprocess
import sys

import pytest
import torch
from conftest import ROOT

import cddp
from cddp import environment, errors, library


def test_arguments_win_over_the_environment(monkeypatch):
    monkeypatch.setenv("CDDP_SERVERS", "a:1")
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert environment.place(None, None, None) == environment.Place("a:1", "1", "2")
    assert environment.place(["b:1", "c:1"], 3, 4) == environment.Place("b:1,c:1", "3", "4")
    assert environment.place(None, "auto", None).rank == "auto"
    monkeypatch.setenv("CDDP_RANK", "0")
    assert environment.place(None, None, None).rank == "0"


@pytest.mark.parametrize("variables, arguments, words", [
    ({}, (None, 0, 1), "cddp run --workers=N"),
    ({}, ("a:1", None, 2), "rank is not known"),
    ({}, ("a:1", 0, None), "workers is not known"),
    ({"RANK": "one"}, ("a:1", None, 2), "RANK=one: must be a whole number"),
    ({"RANK": "-1"}, ("a:1", None, 2), "RANK=-1: must be at least 0"),
    ({"WORLD_SIZE": "0"}, ("a:1", 0, None), "WORLD_SIZE=0: must be at least 1"),
    ({}, ("a:1", 2, 2), "rank 2 of 2 workers: ranks count from 0, so the last is 1"),
])
def test_a_place_that_makes_no_sense(monkeypatch, variables, arguments, words):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(cddp.ConfigurationError, match=words):
        environment.place(*arguments)


def test_shards_are_even_disjoint_and_change():
    shards = [cddp.shard(103, rank=rank, workers=4, seed=5) for rank in range(4)]
    first = [list(shard) for shard in shards]
    assert [len(part) for part in first] == [25] * 4 == [len(shard) for shard in shards]
    assert len(set().union(*first)) == 100
    second = [list(shard) for shard in shards]
    assert first != second
    for shard in shards:
        shard.set_epoch(0)
    assert [list(shard) for shard in shards] == first
    assert list(cddp.shard(range(6), rank=1, workers=2, shuffle=False)) == [1, 3, 5]


def test_a_shard_needs_an_example_a_worker():
    with pytest.raises(cddp.ConfigurationError, match="3 examples are too few for 4 workers"):
        cddp.shard(3, rank=0, workers=4)


def test_exceptions_are_what_programs_expect():
    unavailable = errors.from_code("UNAVAILABLE", "why")
    assert isinstance(unavailable, (cddp.UnavailableError, ConnectionError)) and unavailable.code == "UNAVAILABLE"
    assert isinstance(errors.from_code("INVALID_ARGUMENT", ""), ValueError)
    assert isinstance(errors.from_code("FAILED_PRECONDITION", ""), cddp.StateError)
    assert type(errors.from_code("INTERNAL", "")) is cddp.Error
    assert issubclass(cddp.ForkError, cddp.StateError)


def run_python(code, **variables):
    return subprocess.run([sys.executable, "-B", "-c", code], env={**os.environ, **variables}, capture_output=True,
                          text=True, timeout=60, check=False)


def test_a_missing_library_is_named():
    run = run_python("from cddp import library; library.library()", CDDP_LIBRARY="/nowhere/libcddp.so.1")
    assert "cddp.errors.LibraryError: cannot load /nowhere/libcddp.so.1" in run.stderr


def test_structs_are_those_of_the_header():
    # Members as the header lists them; a different order would be read as other numbers.
    for struct, name in ((library.Tensor, "cddp_tensor"), (library.Memory, "cddp_memory"), (library.Result, "cddp_result"),
                         (library.StepOptions, "cddp_step_options"), (library.Statistics, "cddp_statistics")):
        header = (ROOT / "include/cddp/cddp.h").read_text()
        body = header.split(f"typedef struct {name} {{")[1].split(f"}} {name};")[0]
        members = re.sub(r"/\*.*?\*/", "", body, flags=re.DOTALL).split(";")[:-1]
        assert [member.split()[-1].lstrip("*") for member in members] == [field for field, _ in struct._fields_], name


def test_neither_pytorch_nor_numpy_is_imported_with_the_package():
    run = run_python("import sys, cddp; cddp.shard(9, rank=0, workers=1); print('torch' in sys.modules, 'numpy' in sys.modules)")
    assert run.stdout == "False False\n", run.stderr


def test_no_training_has_no_summary():
    with pytest.raises(cddp.StateError, match="takes part in no training"):
        cddp.summary()


def _trained(make, threads=1):
    torch.manual_seed(3)
    model = torch.nn.Sequential(torch.nn.Linear(30, 20), torch.nn.Tanh(), torch.nn.Linear(20, 1), torch.nn.Linear(1, 1))
    model[3].weight.requires_grad_(False)  # no gradient
    optimizer = make([{"params": model[0].parameters(), "weight_decay": 0.1, "lr": 0.02},
                      {"params": [*model[2].parameters(), *model[3].parameters()]}])
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
    numbers = torch.Generator().manual_seed(4)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    for _ in range(20):
        x = torch.randn(8, 30, generator=numbers)
        optimizer.zero_grad()
        (model(x) - x.sum(1, keepdim=True)).square().mean().backward()
        optimizer.step()
        schedule.step()
    torch.set_num_threads(before)
    return torch.cat([parameter.detach().reshape(-1) for parameter in model.parameters()]), optimizer.state_dict()


@pytest.mark.parametrize("threads", [1, 2])
def test_adamw_is_that_of_pytorch(threads):
    ours, our_state = _trained(lambda groups: cddp.AdamW(groups, lr=0.01), threads)
    theirs, their_state = _trained(lambda groups: torch.optim.AdamW(groups, lr=0.01))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    assert our_state["param_groups"] == their_state["param_groups"]
    for place, part in their_state["state"].items():
        for name, value in part.items():
            torch.testing.assert_close(our_state["state"][place][name], value, rtol=1e-3, atol=1e-6)
    assert our_state["state"].keys() == their_state["state"].keys()
