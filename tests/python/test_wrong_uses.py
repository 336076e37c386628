"""Wrong uses: each gives one clear exception, and nothing hangs."""

import copy
import os
import pickle
import signal
import subprocess
import sys
import time

import numpy
import pytest
import torch
from conftest import DEADLINE, PROGRAMS, together
from torch import nn

import cddp

NOWHERE = {"servers": "127.0.0.1:1", "rank": 0, "workers": 1}  # nothing listens there


def sgd(model):
    return torch.optim.SGD(model.parameters(), lr=0.1)


def distribute(model, **options):
    return cddp.DistributedOptimizer(sgd(model), model, **{**NOWHERE, **options})


def train(model, optimizer, steps):
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.ones(2, 4)).sum().backward()
        optimizer.step()


def of_type(dtype):
    return lambda: distribute(nn.Linear(4, 2).to(dtype))


def of_another_model():
    return cddp.DistributedOptimizer(sgd(nn.Linear(4, 2)), nn.Linear(4, 2), **NOWHERE)


def arrays(array):
    return lambda: cddp.Arrays({"w": array}, **NOWHERE)


def read_only():
    array = numpy.zeros(4, numpy.float32)
    array.flags.writeable = False
    return array


# Before a server is asked.
@pytest.mark.parametrize("use, error, words", [
    (lambda: cddp.DistributedOptimizer("adam", nn.Linear(4, 2), **NOWHERE), ValueError, "must be a torch.optim.Optimizer"),
    (lambda: cddp.DistributedOptimizer(sgd(nn.Linear(4, 2)), [1], **NOWHERE), ValueError, "must be a torch.nn.Module"),
    (of_another_model, ValueError, "2 parameters that are not the model's: make it from model.parameters"),
    (of_type(torch.float64), ValueError, "weight is of type torch.float64: train float32"),
    (of_type(torch.complex64), ValueError, "of type torch.complex64"),
    (lambda: distribute(nn.Linear(4, 2, device="meta")), ValueError, "has no memory yet"),
    (lambda: distribute(nn.Linear(4, 2), raito=0.1), ValueError, "did you mean 'ratio'"),
    (lambda: distribute(nn.Linear(4, 2), ratio=2), ValueError, "ratio"),
    (lambda: distribute(nn.Linear(4, 2), ratio="much"), ValueError, "much"),
    (lambda: distribute(nn.Linear(4, 2), local_steps=0), ValueError, "local_steps"),
    (lambda: distribute(nn.Linear(4, 2), value_encoding="fp12"), ValueError, "fp12"),
    (lambda: distribute(nn.Linear(4, 2), servers="localhost"), ValueError, "localhost"),
    (lambda: distribute(nn.Linear(4, 2), rank=1), ValueError, "rank 1 of 1 workers"),
    (lambda: distribute(nn.Linear(4, 2), agree={"batch size": 3}), ValueError, "batch size"),
    (lambda: distribute(nn.Linear(4, 2), server_timeout="1s"), ConnectionError, "127.0.0.1:1"),
    (arrays(numpy.zeros(4)), ValueError, "NumPy array of float32"),
    (arrays([1.0]), ValueError, "NumPy array of float32"),
    (arrays(numpy.zeros((4, 4), numpy.float32).T[:2]), ValueError, "contiguous"),
    (arrays(read_only()), ValueError, "writeable|writable"),
    (lambda: cddp.Arrays({}, **NOWHERE), ValueError, "no tensors"),
])
def test_before_joining(use, error, words):
    with pytest.raises(error, match=words):
        use()


@pytest.fixture
def joined(start_servers):
    """A model, its optimizer, and the servers' addresses."""
    servers = start_servers()
    model = nn.Linear(4, 2)
    optimizer = distribute(model, servers=servers, local_steps=1)
    yield model, optimizer, servers
    optimizer._client.close()


def test_one_distributed_optimizer_a_model(joined):
    model, optimizer, servers = joined
    with pytest.raises(cddp.InUseError, match="trained by another distributed optimizer already"):
        distribute(model, servers=servers)
    with pytest.raises(ValueError, match="a distributed one already"):
        cddp.DistributedOptimizer(optimizer, model, servers=servers, rank=0, workers=1)
    optimizer.leave()


def test_one_client_a_rank(joined):
    with pytest.raises(cddp.InUseError, match="rank"):
        distribute(nn.Linear(4, 2), servers=joined[2], local_steps=1)


def test_nothing_follows_leaving(joined):
    model, optimizer, _ = joined
    optimizer.leave()
    optimizer.leave()  # twice is fine
    for use in (optimizer.step, optimizer.exchange, optimizer.state_dict, optimizer.summary):
        with pytest.raises(cddp.StateError, match="has left the training"):
            use()


def grow(model):
    model.weight.data = torch.zeros(3, 4)


@pytest.mark.parametrize("change", [lambda model: model.double(), lambda model: model.half(), grow])
def test_a_model_that_changed_after_joining(joined, change):
    model, optimizer, _ = joined
    change(model)
    with pytest.raises(cddp.StateError, match="was given other memory or another shape since this worker joined"):
        optimizer.step()


def test_no_parameters_come_later(joined):
    with pytest.raises(cddp.ConfigurationError, match="make the optimizer with all groups first"):
        joined[1].add_param_group({"params": [nn.Parameter(torch.zeros(2))]})


def test_no_copies(joined):
    for use in (copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="save its state_dict"):
            use(joined[1])


def test_a_training_that_diverges_ends(joined):
    model, optimizer, _ = joined
    with pytest.raises(cddp.Error, match="20 exchanges in a row were refused.*lower the learning rate"):
        for _ in range(30):
            optimizer.zero_grad()
            (model(torch.ones(2, 4)).sum() * float("nan")).backward()
            optimizer.step()
    assert torch.isfinite(model.weight).all()


def test_states_that_do_not_fit(joined, start_servers):
    model, optimizer, _ = joined
    train(model, optimizer, 3)
    state = optimizer.state_dict()
    with pytest.raises(cddp.StateError, match="made steps already"):
        optimizer.load_state_dict(state)
    servers = start_servers(1, 1)
    fresh = distribute(nn.Linear(4, 2), servers=servers, local_steps=1)
    damaged = {**state, "cddp": {**state["cddp"], "state": state["cddp"]["state"].clone()}}
    damaged["cddp"]["state"][40] += 1
    with pytest.raises((cddp.DamagedError, cddp.ConfigurationError)):
        fresh.load_state_dict(damaged)
    fresh.leave()
    other = distribute(nn.Linear(5, 2), servers=start_servers(), local_steps=1)
    with pytest.raises(cddp.ConfigurationError, match="the state"):
        other.load_state_dict({**state, "state": {}})
    other.leave()


def test_half_precision_and_closures(start_servers):
    model = nn.Linear(4, 2).bfloat16()
    optimizer = distribute(model, servers=start_servers())
    with pytest.raises(cddp.ConfigurationError, match="step.closure. does not work with parameters of half precision"):
        optimizer.step(lambda: 1.0)
    optimizer.leave()


def test_servers_that_do_not_average(start_servers):
    servers = start_servers(1, 1, "--optimizer=adam", average=False)
    with pytest.raises(ValueError, match="--optimizer=sgd --lr=1 --momentum=0"):
        distribute(nn.Linear(4, 2), servers=servers)


def test_another_number_of_workers_than_the_servers(start_servers):
    with pytest.raises(ValueError, match="workers"):
        distribute(nn.Linear(4, 2), servers=start_servers(1, 3))


@pytest.mark.parametrize("other, options, words", [
    (lambda: nn.Linear(5, 2), {}, "weight|model|layout|parameters"),
    (lambda: nn.Linear(4, 2), {"local_steps": 3}, "local_steps"),
    (lambda: nn.Linear(4, 2), {"agree": {"batch_size": 64}}, "batch_size"),
])
def test_workers_that_differ(start_servers, other, options, words):
    """The second worker is told; the first, who waits for it, can leave."""
    servers = start_servers(1, 2)
    script = ("import sys, torch, cddp\nmodel = torch.nn.Linear(4, 2)\n"
              "optimizer = cddp.DistributedOptimizer(torch.optim.SGD(model.parameters(), lr=0.1), model, rank=0, workers=2, "
              f"servers='{servers}', agree={{'batch_size': 32}}, local_steps=1)\n")
    first = subprocess.Popen([sys.executable, "-B", "-c", script], stdin=subprocess.DEVNULL)
    try:
        options = {"agree": {"batch_size": 32}, "local_steps": 1, **options}
        end = time.monotonic() + DEADLINE
        while True:  # until the first has joined, this one waits in start()
            status = subprocess.run([PROGRAMS / "cddp", "status", "--json", f"--servers={servers}"], capture_output=True, text=True, check=False).stdout
            if '"parameters": "10"' in status:
                break
            assert time.monotonic() < end, status
            time.sleep(0.05)
        with pytest.raises(ValueError, match=words):
            distribute(other(), servers=servers, rank=1, workers=2, **options)
    finally:
        first.kill()
        first.wait()


def in_a_child(function):
    """What the function raises in a forked child, as text."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            function()
            os.write(write, b"nothing")
        except BaseException as error:  # noqa: BLE001: told to the parent
            os.write(write, f"{type(error).__name__}: {error}".encode())
        os._exit(0)
    os.close(write)
    text = b""
    while piece := os.read(read, 4096):
        text += piece
    os.close(read)
    os.waitpid(child, 0)
    return text.decode()


def test_a_forked_child_takes_no_part(joined):
    model, optimizer, servers = joined
    assert "ForkError" in in_a_child(optimizer.step)
    assert "which had joined: only that one may take part" in in_a_child(optimizer.leave)
    assert "StateError" in in_a_child(lambda: distribute(nn.Linear(4, 2), servers=servers))
    train(model, optimizer, 2)  # the parent goes on
    optimizer.leave()


def test_loaders_with_processes_of_their_own(joined):
    model, optimizer, _ = joined
    data = torch.utils.data.TensorDataset(torch.ones(16, 4))
    for (x,) in torch.utils.data.DataLoader(data, batch_size=4, num_workers=2, sampler=cddp.shard(data, rank=0, workers=1)):
        optimizer.zero_grad()
        model(x).sum().backward()
        optimizer.step()
    assert optimizer.summary()["exchanges"] == 4
    optimizer.leave()


def test_ctrl_c_ends_a_wait(start_servers):
    servers = start_servers(1, 2)
    script = ("import torch, cddp, logging\nmodel = torch.nn.Linear(4, 2)\nprint('begin', flush=True)\n"
              "optimizer = cddp.DistributedOptimizer(torch.optim.SGD(model.parameters(), lr=0.1), model, rank=0, workers=2, "
              f"servers='{servers}')\n")
    process = subprocess.Popen([sys.executable, "-B", "-c", script], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    process.stdout.readline()
    time.sleep(1)  # it waits for the other worker; earlier, Ctrl-C would find it before the wait
    process.send_signal(signal.SIGINT)
    _, words = process.communicate(timeout=DEADLINE)
    assert "KeyboardInterrupt" in words and process.returncode in (1, 130, -signal.SIGINT), (process.returncode, words)


def test_ctrl_c_ends_a_wait_within_an_exchange(start_servers):
    servers = start_servers(1, 2)
    models = [nn.Linear(4, 2), nn.Linear(4, 2)]
    mine, other = together(*[lambda rank=rank: distribute(models[rank], servers=servers, rank=rank, workers=2, local_steps=1)
                             for rank in range(2)])
    signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    with pytest.raises(KeyboardInterrupt):
        train(models[0], mine, 1)  # the other does not take part
    mine.leave(finished=False)
    other.leave(finished=False)
