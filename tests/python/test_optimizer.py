"""DistributedOptimizer with real servers: what it computes, and how it takes the place of another optimizer."""

import copy
import io

import pytest
import torch
from conftest import together
from torch import nn

import cddp

SMALL = {"bucket_bytes": 256}  # a small model's parameters lie at several servers, too
EXACT = "--value_encoding=fp32"  # of servers
DENSE = {"ratio": 1.0, "value_encoding": "fp32", **SMALL}


def batches(count, rank=0, inputs=6):
    numbers = torch.Generator().manual_seed(100 + rank)
    return [(torch.randn(8, inputs, generator=numbers), torch.randint(3, (8,), generator=numbers)) for _ in range(count)]


def train(model, optimizer, data):
    for x, y in data:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()


def small_model(seed=1):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))


def weights(model):
    return torch.cat([parameter.detach().float().reshape(-1) for parameter in model.parameters()])


def test_workers_begin_and_end_with_the_same_weights(start_servers):
    servers = start_servers(2, 3)

    models = [small_model(seed=rank) for rank in range(3)]

    def worker(rank):
        model = models[rank]
        optimizer = cddp.DistributedOptimizer(torch.optim.Adam(model.parameters(), lr=0.01), model, servers=servers,
                                              rank=rank, workers=3, local_steps=2, ratio=0.2, **SMALL)
        first = weights(model).clone()
        train(model, optimizer, batches(10, rank))
        optimizer.leave()
        return first, weights(model)

    (first, last), *others = together(*[lambda rank=rank: worker(rank) for rank in range(3)])
    assert torch.equal(first, weights(small_model(seed=0)))
    assert not torch.equal(first, last)
    for other_first, other_last in others:
        assert torch.equal(first, other_first) and torch.equal(last, other_last)


def test_dense_sgd_is_that_of_one_process_with_the_global_batch(start_servers):
    servers = start_servers(2, 2, EXACT)
    models = [small_model(), small_model()]

    def worker(rank):
        model = models[rank]
        optimizer = cddp.DistributedOptimizer(torch.optim.SGD(model.parameters(), lr=0.1), model, servers=servers,
                                              rank=rank, workers=2, local_steps=1, **DENSE)
        train(model, optimizer, batches(20, rank))
        optimizer.leave()
        return weights(model)

    mine, other = together(lambda: worker(0), lambda: worker(1))
    model = small_model()
    train(model, torch.optim.SGD(model.parameters(), lr=0.1),
          [(torch.cat([a[0], b[0]]), torch.cat([a[1], b[1]])) for a, b in zip(batches(20, 0), batches(20, 1))])
    assert torch.equal(mine, other)
    torch.testing.assert_close(mine, weights(model), rtol=0, atol=1e-6)


class AheadOfExchanges:
    """What rounds of `steps` steps with the first `overlap` of them beside the last exchange come to, of two workers, all
    in one process (worker/optimizer/moved_weights.h)."""

    def __init__(self, steps, overlap):
        self.steps, self.overlap = steps, overlap
        self.models = [small_model(), small_model()]
        self.optimizers = [torch.optim.SGD(model.parameters(), lr=0.1) for model in self.models]
        self.published = weights(self.models[0])
        self.begin = [self.published, self.published]
        self.pushed = None  # by both, under way

    def end_exchange(self):
        self.published = self.published - sum(self.pushed) / 2
        self.pushed = None

    def set_weights(self, rank, values):
        torch.nn.utils.vector_to_parameters(values.clone(), self.models[rank].parameters())

    def step(self, made, data):
        for rank in range(2):
            train(self.models[rank], self.optimizers[rank], [data[rank]])
        ends = made == self.steps
        if self.pushed is not None and (ends or made == self.overlap):
            self.end_exchange()
            for rank in range(0 if ends else 2):
                self.set_weights(rank, self.published + (weights(self.models[rank]) - self.begin[rank]))
                self.begin[rank] = self.published
        if ends:
            self.pushed = [self.begin[rank] - weights(self.models[rank]) for rank in range(2)]
            for rank in range(2):
                self.begin[rank] = self.published - self.pushed[rank]
                self.set_weights(rank, self.begin[rank])

    def come_together(self, made):
        if self.pushed is not None:
            self.end_exchange()
            for rank in range(2):
                self.set_weights(rank, self.published + (weights(self.models[rank]) - self.begin[rank]))
        if made > 0:
            self.pushed = [self.published - weights(self.models[rank]) for rank in range(2)]
            self.end_exchange()
        return self.published


@pytest.mark.parametrize("steps, overlap", [(1, 1), (4, 1), (4, 4), (3, 2), (2, 5)])
def test_overlapped_rounds_are_those_of_their_definition(start_servers, steps, overlap):
    servers = start_servers(2, 2, EXACT)
    models = [small_model(), small_model()]
    count = 5 * steps + 1  # the last of them within a round

    def worker(rank):
        model = models[rank]
        optimizer = cddp.DistributedOptimizer(torch.optim.SGD(model.parameters(), lr=0.1), model, servers=servers, rank=rank,
                                              workers=2, local_steps=steps, overlap=overlap, **DENSE)
        seen = []
        for batch in batches(count, rank):
            train(model, optimizer, [batch])
            seen.append(weights(model))
        optimizer.exchange()
        seen.append(weights(model))
        assert optimizer.summary()["under_way"] == 0
        optimizer.leave()
        return seen

    seen = together(lambda: worker(0), lambda: worker(1))
    wanted = AheadOfExchanges(steps, overlap)
    for number, data in enumerate(zip(batches(count, 0), batches(count, 1))):
        wanted.step(number % steps + 1, data)
        for rank in range(2):
            torch.testing.assert_close(seen[rank][number], weights(wanted.models[rank]), rtol=0, atol=1e-6)
    assert not torch.equal(seen[0][-2], seen[1][-2])
    assert torch.equal(seen[0][-1], seen[1][-1])
    torch.testing.assert_close(seen[0][-1], wanted.come_together(1 if steps > 1 else 0), rtol=0, atol=1e-6)


@pytest.mark.parametrize("overlap", [0, 2])
def test_workers_decide_together_how_many_steps_they_make(start_servers, overlap):
    servers = start_servers(2, 2)
    models = [small_model(), small_model()]

    def worker(rank):
        model = models[rank]
        optimizer = cddp.DistributedOptimizer(torch.optim.SGD(model.parameters(), lr=0.1), model, servers=servers, rank=rank,
                                              workers=2, local_steps="auto", overlap=overlap, **SMALL)
        decided = []
        for batch in batches(200, rank):
            train(model, optimizer, [batch])
            decided.append(optimizer.local_steps)
        optimizer.exchange()
        optimizer.leave()
        return decided, weights(model)

    (first, mine), (second, other) = together(lambda: worker(0), lambda: worker(1))
    assert first == second and torch.equal(mine, other)
    assert first[0] == 4 and max(first) > 4, "a step takes less time than an exchange"


class Odd(nn.Module):
    """Parameters of all kinds."""

    def __init__(self, dtype):
        super().__init__()
        self.frozen = nn.Linear(6, 6)
        self.frozen.weight.requires_grad_(False)
        self.unused = nn.Linear(2, 2)
        self.empty = nn.Parameter(torch.zeros(0, 3))
        self.scale = nn.Parameter(torch.tensor(1.5))
        self.turned = nn.Parameter((torch.randn(4, 6) / 3).t())
        self.tied = nn.Linear(4, 4)
        self.tied_too = nn.Linear(4, 4)
        self.tied_too.weight = self.tied.weight
        self.head = nn.Parameter((torch.randn(4, 3) / 2).to(dtype))

    def forward(self, x):
        x = torch.tanh(self.frozen(x)) @ self.turned
        return torch.tanh(self.tied_too(torch.tanh(self.tied(x)))) @ self.head.float() * self.scale


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("local_steps", [1, 3])
def test_parameters_of_all_kinds(start_servers, dtype, local_steps):
    torch.manual_seed(3)
    model = Odd(dtype)
    plain = copy.deepcopy(model)
    half = nn.Parameter(plain.head.detach().float())  # the reference: a float32 master

    def groups(model, half):
        rest = [parameter for name, parameter in model.named_parameters() if name not in ("head", "scale")]
        return [{"params": rest}, {"params": [model.scale, half], "lr": 0.02}]

    reference = torch.optim.SGD(groups(plain, half), lr=0.1, momentum=0.9)
    optimizer = cddp.DistributedOptimizer(
        torch.optim.SGD(groups(model, model.head), lr=0.1, momentum=0.9), model, servers=start_servers(2, 1, EXACT), rank=0,
        workers=1, local_steps=local_steps, **DENSE)
    for x, y in batches(12):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
        plain.zero_grad()
        plain.head.data.copy_(half.data)
        nn.functional.cross_entropy(plain(x), y).backward()
        half.grad = plain.head.grad.float()
        reference.step()
    for (name, mine), other in zip(model.named_parameters(), plain.parameters()):
        wanted = half.to(dtype) if name == "head" else other
        torch.testing.assert_close(mine, wanted, rtol=0, atol=2e-5, msg=name)
        assert mine.stride() == other.stride() or mine.numel() == 0, name
    optimizer.leave()


def test_it_is_an_optimizer_as_the_one_within(start_servers):
    model = small_model()
    within = torch.optim.SGD(model.parameters(), lr=0.5)
    optimizer = cddp.DistributedOptimizer(within, model, servers=start_servers(), rank=0, workers=1, local_steps=2)
    assert isinstance(optimizer, torch.optim.Optimizer)
    assert optimizer.param_groups is within.param_groups and optimizer.defaults["lr"] == 0.5
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.4, total_steps=10)
    rates = []
    for x, y in batches(4):
        train(model, optimizer, [(x, y)])
        scheduler.step()
        rates.append(within.param_groups[0]["lr"])
    assert len(set(rates)) == 4
    result = optimizer.step(lambda: 3.5)
    assert result == 3.5
    optimizer.zero_grad(set_to_none=True)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert cddp.summary()["step"] == optimizer.summary()["step"] == 3
    optimizer.leave()


def test_gradient_accumulation_and_clipping_are_the_users(start_servers):
    def train_with(model, optimizer):
        for first, second in zip(batches(8, 0), batches(8, 1)):
            optimizer.zero_grad()
            for x, y in (first, second):
                nn.functional.cross_entropy(model(x), y).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.1)
            optimizer.step()

    model, plain = small_model(), small_model()
    optimizer = cddp.DistributedOptimizer(torch.optim.SGD(model.parameters(), lr=0.5), model,
                                          servers=start_servers(1, 1, EXACT), rank=0, workers=1, **DENSE)
    train_with(model, optimizer)
    train_with(plain, torch.optim.SGD(plain.parameters(), lr=0.5))
    torch.testing.assert_close(weights(model), weights(plain), rtol=0, atol=1e-6)
    optimizer.leave()


def test_batch_norm_statistics_are_averaged(start_servers):
    servers = start_servers(2, 2, EXACT)
    models = [nn.Sequential(nn.BatchNorm1d(6), nn.Linear(6, 3)) for _ in range(2)]

    def worker(rank):
        model = models[rank]
        optimizer = cddp.DistributedOptimizer(torch.optim.SGD(model.parameters(), lr=0.0), model, servers=servers,
                                              rank=rank, workers=2, local_steps=1, **{**DENSE, "bucket_bytes": 128})
        x = torch.full((8, 6), 10.0 * rank)
        train(model, optimizer, [(x, torch.zeros(8, dtype=torch.long))])
        optimizer.leave()
        return model[0].running_mean

    first, second = together(lambda: worker(0), lambda: worker(1))
    torch.testing.assert_close(first, torch.full((6,), 0.5))  # momentum 0.1 of the mean of 0 and 10
    assert torch.equal(first, second)


@pytest.mark.parametrize("overlap, saved_after", [(0, 6), (1, 4), (1, 6), (3, 4), (3, 5), (3, 7), (4, 8)])
def test_a_state_goes_on_where_it_was(start_servers, overlap, saved_after):
    data = batches(15)

    def new(servers):
        model = small_model()
        within = torch.optim.Adam(model.parameters(), lr=0.01)
        return model, cddp.DistributedOptimizer(within, model, servers=servers, rank=0, workers=1, local_steps=4, ratio=0.3,
                                                overlap=overlap, run="one")  # whoever knows the run takes the place of a killed process

    model, optimizer = new(start_servers())
    train(model, optimizer, data)
    optimizer.leave()

    servers = start_servers()
    first, before = new(servers)
    train(first, before, data[:saved_after])
    file = io.BytesIO()
    torch.save(before.state_dict(), file)
    before._client.close()  # as a process that is killed
    second, after = new(servers)
    file.seek(0)
    after.load_state_dict(torch.load(file))
    train(second, after, data[saved_after:])
    after.leave()
    assert torch.equal(weights(second), weights(model))


def test_a_late_worker_gets_the_weights_of_the_others(start_servers):
    servers = start_servers(1, 2, EXACT)
    models = [small_model(seed=seed) for seed in range(3)]

    def join(model, rank):
        return cddp.DistributedOptimizer(torch.optim.SGD(model.parameters(), lr=0.1), model, servers=servers, rank=rank,
                                         workers=2, local_steps=1, **DENSE)

    first, second = together(lambda: join(models[0], 0), lambda: join(models[1], 1))
    second.leave(finished=False)
    train(models[0], first, batches(5))
    late = join(models[2], 1)
    assert torch.equal(weights(models[2]), weights(models[0]))
    assert not torch.equal(weights(models[0]), weights(small_model(seed=0)))
    together(late.leave, first.leave)


@pytest.mark.parametrize("make", [
    lambda model, **options: cddp.DistributedOptimizer(torch.optim.SGD(model.parameters(), lr=0.1), model, local_steps=2, **options),
    lambda model, **options: cddp.ServerOptimizer(model, **options)])
def test_counters_of_steps_go_on(start_servers, make):
    servers = start_servers(1, 1, "--run=one")

    def new():
        model = nn.Sequential(nn.Linear(6, 3), nn.BatchNorm1d(3))
        model.register_buffer("num_classes", torch.tensor(3))  # is no counter
        return model, make(model, servers=servers, rank=0, workers=1, run="one")

    def count(model):
        assert model.num_classes == 3
        return model[1].num_batches_tracked.item()

    model, optimizer = new()
    assert count(model) == 0
    train(model, optimizer, batches(4))
    state = copy.deepcopy(optimizer.state_dict())
    train(model, optimizer, batches(2))
    assert count(model) == 6
    optimizer._client.close()  # as a process that is killed
    late, optimizer = new()
    assert count(late) == 6
    optimizer._client.close()
    restored, optimizer = new()
    optimizer.load_state_dict(state)
    assert count(restored) == 4
    optimizer.leave()


class FakeScaler:
    """What PyTorch's GradScaler does with an optimizer; it itself needs a GPU in PyTorch 1.13."""

    def __init__(self, scale):
        self.scale = scale

    def step(self, optimizer):
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        assert optimizer._step_supports_amp_scaling
        optimizer.grad_scale = torch.tensor(self.scale)
        optimizer.found_inf = torch.tensor(float(not all(torch.isfinite(g).all() for g in gradients)))
        optimizer.step()
        del optimizer.grad_scale, optimizer.found_inf


def test_a_step_with_infinities_is_left_out_and_counted(start_servers):
    model, plain = small_model(), small_model()
    optimizer = cddp.DistributedOptimizer(torch.optim.SGD(model.parameters(), lr=0.1), model,
                                          servers=start_servers(1, 1, EXACT), rank=0, workers=1, local_steps=2, **DENSE)
    reference = torch.optim.SGD(plain.parameters(), lr=0.1)
    for number, (x, y) in enumerate(batches(6)):
        optimizer.zero_grad()
        (64.0 * nn.functional.cross_entropy(model(x), y)).backward()
        if number == 2:
            model[0].weight.grad[0, 0] = float("inf")
        FakeScaler(64.0).step(optimizer)
        if number != 2:
            train(plain, reference, [(x, y)])
    assert optimizer.summary()["exchanges"] == 3
    torch.testing.assert_close(weights(model), weights(plain), rtol=0, atol=1e-6)
    optimizer.leave()


def test_weights_are_relative_and_zero_means_no_examples(start_servers):
    """Batches of 6 and 2 examples, weighted, are one batch of 8; then only the first worker has examples."""
    servers = start_servers(2, 2, EXACT)
    models = [small_model(), small_model()]
    data = batches(10)

    def worker(rank):
        optimizer = cddp.DistributedOptimizer(torch.optim.SGD(models[rank].parameters(), lr=0.1), models[rank],
                                              servers=servers, rank=rank, workers=2, local_steps=1, **DENSE)
        mine = slice(0, 6) if rank == 0 else slice(6, 8)
        for number, (x, y) in enumerate(data):
            optimizer.zero_grad()
            if number < 5:
                nn.functional.cross_entropy(models[rank](x[mine]), y[mine]).backward()
                optimizer.step(weight=len(y[mine]))
            elif rank == 0:
                nn.functional.cross_entropy(models[rank](x), y).backward()
                optimizer.step(weight=8)
            else:
                optimizer.step(weight=0)
        optimizer.leave()

    together(lambda: worker(0), lambda: worker(1))
    plain = small_model()
    train(plain, torch.optim.SGD(plain.parameters(), lr=0.1), data)
    assert torch.equal(weights(models[0]), weights(models[1]))
    torch.testing.assert_close(weights(models[0]), weights(plain), rtol=0, atol=2e-6)


def test_uneven_data_ends_without_a_hang(start_servers):
    servers = start_servers(1, 2)
    models = [small_model(), small_model()]

    def worker(rank):
        optimizer = cddp.DistributedOptimizer(torch.optim.SGD(models[rank].parameters(), lr=0.1), models[rank],
                                              servers=servers, rank=rank, workers=2, local_steps=2)
        train(models[rank], optimizer, batches(6 if rank == 0 else 3))
        optimizer.leave()
        return optimizer

    together(lambda: worker(0), lambda: worker(1))


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_weights_that_make_no_sense(start_servers, weight):
    model = small_model()
    optimizer = cddp.DistributedOptimizer(torch.optim.SGD(model.parameters(), lr=0.1), model, servers=start_servers(),
                                          rank=0, workers=1)
    with pytest.raises(ValueError, match="weight=.*must be 0"):
        optimizer.step(weight=weight)
    optimizer.leave()


@pytest.mark.skipif(not hasattr(getattr(torch, "amp", None), "GradScaler"), reason="PyTorch 1.13's needs a GPU")
@pytest.mark.parametrize("clip", [False, True])
def test_with_pytorchs_own_scaler(start_servers, clip):
    model, plain = small_model(), small_model()
    optimizer = cddp.DistributedOptimizer(torch.optim.SGD(model.parameters(), lr=0.1), model,
                                          servers=start_servers(1, 1, EXACT), rank=0, workers=1, local_steps=2, **DENSE)
    pairs = ((model, optimizer, torch.amp.GradScaler("cpu", init_scale=64.0)),
             (plain, torch.optim.SGD(plain.parameters(), lr=0.1), torch.amp.GradScaler("cpu", init_scale=64.0)))
    for number, (x, y) in enumerate(batches(8)):
        for trained, stepper, scaler in pairs:
            stepper.zero_grad()
            scaler.scale(nn.functional.cross_entropy(trained(x), y)).backward()
            if number == 2:
                trained[0].weight.grad[0, 0] = float("inf")
            if clip:
                scaler.unscale_(stepper)
                nn.utils.clip_grad_norm_(trained.parameters(), 0.1)
            scaler.step(stepper)
            scaler.update()
    assert pairs[0][2].get_scale() == pairs[1][2].get_scale() == 32.0
    assert optimizer.summary()["exchanges"] == 4
    torch.testing.assert_close(weights(model), weights(plain), rtol=0, atol=1e-6)
    optimizer.leave()
