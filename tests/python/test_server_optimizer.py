"""ServerOptimizer: gradients are pushed during the backward pass, and the servers' optimizer makes the steps."""

import pytest
import torch
from conftest import together
from test_optimizer import DENSE, FakeScaler, Odd, batches, small_model, train, weights
from torch import nn

import cddp

SGD = ("--optimizer=sgd", "--lr=0.1", "--momentum=0.9", "--value_encoding=fp32")


def join(model, servers, rank=0, workers=1, **options):
    return cddp.ServerOptimizer(model, servers=servers, rank=rank, workers=workers, **{**DENSE, **options})


@pytest.mark.parametrize("overlap", [True, False])
def test_it_is_one_process_with_the_global_batch(start_servers, overlap):
    servers = start_servers(2, 2, *SGD, average=False)
    models = [small_model(seed=rank) for rank in range(2)]

    def worker(rank):
        optimizer = join(models[rank], servers, rank, 2, overlap=overlap)
        train(models[rank], optimizer, batches(20, rank))
        optimizer.leave()

    together(lambda: worker(0), lambda: worker(1))
    plain = small_model(seed=0)
    train(plain, torch.optim.SGD(plain.parameters(), lr=0.1, momentum=0.9),
          [(torch.cat([a[0], b[0]]), torch.cat([a[1], b[1]])) for a, b in zip(batches(20, 0), batches(20, 1))])
    assert torch.equal(weights(models[0]), weights(models[1]))
    torch.testing.assert_close(weights(models[0]), weights(plain), rtol=0, atol=2e-6)


@pytest.mark.parametrize("overlap", [True, False])
def test_parameters_of_all_kinds(start_servers, overlap):
    torch.manual_seed(3)
    model = Odd(torch.bfloat16)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    optimizer = join(model, start_servers(2, 1, *SGD, average=False), overlap=overlap)
    train(model, optimizer, batches(5))
    moved = {name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])}
    assert moved == {"scale", "turned", "frozen.bias", "tied.weight", "tied.bias", "tied_too.bias", "head"}
    optimizer.leave()


def test_gradient_accumulation(start_servers):
    model, plain = small_model(), small_model()
    optimizer = join(model, start_servers(1, 1, *SGD, average=False))
    reference = torch.optim.SGD(plain.parameters(), lr=0.1, momentum=0.9)
    for first, second in zip(batches(6, 0), batches(6, 1)):
        optimizer.zero_grad()
        with optimizer.no_sync():
            nn.functional.cross_entropy(model(first[0]), first[1]).backward()
        nn.functional.cross_entropy(model(second[0]), second[1]).backward()
        optimizer.step()
        reference.zero_grad()
        for x, y in (first, second):
            nn.functional.cross_entropy(plain(x), y).backward()
        reference.step()
    torch.testing.assert_close(weights(model), weights(plain), rtol=0, atol=2e-6)
    optimizer.leave()


def test_wrong_uses(start_servers):
    model = small_model()
    optimizer = join(model, start_servers(1, 1, *SGD, average=False))
    x, y = batches(1)[0]
    nn.functional.cross_entropy(model(x), y).backward()
    with pytest.raises(cddp.StateError, match="second backward pass before step.*no_sync"):
        nn.functional.cross_entropy(model(x), y).backward()
    optimizer.zero_grad()
    with pytest.raises(cddp.StateError, match="changed after it had been pushed.*overlap=False"):
        optimizer.step()
    with pytest.raises(cddp.ConfigurationError, match="give overlap=False"):
        optimizer.step(weight=2.0)
    with pytest.raises(KeyError):  # no schedule has an effect
        torch.optim.lr_scheduler.StepLR(optimizer, 1)
    optimizer.leave(finished=False)


def test_a_step_with_infinities_is_skipped_by_all(start_servers):
    model, plain = small_model(), small_model()
    optimizer = join(model, start_servers(1, 1, *SGD, average=False), overlap=False)
    reference = torch.optim.SGD(plain.parameters(), lr=0.1, momentum=0.9)
    for number, (x, y) in enumerate(batches(6)):
        optimizer.zero_grad()
        (64.0 * nn.functional.cross_entropy(model(x), y)).backward()
        if number == 2:
            model[0].weight.grad[0, 0] = float("inf")
        FakeScaler(64.0).step(optimizer)
        if number != 2:
            train(plain, reference, [(x, y)])
    assert optimizer.summary()["refused"] == 1
    torch.testing.assert_close(weights(model), weights(plain), rtol=0, atol=2e-6)
    optimizer.leave()


def test_a_state_goes_on_where_it_was(start_servers):
    data = batches(12)
    flags = (1, 1, *SGD)
    model = small_model()
    optimizer = join(model, start_servers(*flags, average=False), ratio=0.3)
    train(model, optimizer, data)
    optimizer.leave()
    servers = start_servers(*flags, average=False)
    first = small_model()
    before = join(first, servers, ratio=0.3, run="one")  # whoever knows the run takes the place of a killed process
    train(first, before, data[:6])
    state = before.state_dict()
    before._client.close()
    second = small_model()
    after = join(second, servers, ratio=0.3, run="one")
    after.load_state_dict(state)
    train(second, after, data[6:])
    after.leave()
    assert torch.equal(weights(second), weights(model))


@pytest.mark.parametrize("overlap", [True, False])
def test_a_worker_without_examples_and_batch_norm(start_servers, overlap):
    servers = start_servers(1, 2, *SGD, average=False)
    torch.manual_seed(1)
    models = [nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)) for _ in range(2)]
    plain = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))
    plain.load_state_dict(models[0].state_dict())
    data = batches(5)

    def worker(rank):
        optimizer = join(models[rank], servers, rank, 2, overlap=overlap)
        if rank == 0:
            train(models[rank], optimizer, data)
        else:
            for _ in data:
                optimizer.step(weight=0)
        optimizer.leave()

    together(lambda: worker(0), lambda: worker(1))
    train(plain, torch.optim.SGD(plain.parameters(), lr=0.1, momentum=0.9), data)
    assert torch.equal(weights(models[0]), weights(models[1]))
    torch.testing.assert_close(weights(models[0]), weights(plain), rtol=0, atol=1e-5)
    assert torch.equal(models[0][1].running_mean, models[1][1].running_mean)
    torch.testing.assert_close(models[0][1].running_mean, plain[1].running_mean, rtol=0, atol=1e-5)
