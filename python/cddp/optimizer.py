"""The PyTorch optimizers of a distributed training."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import Any

import torch

from . import arithmetic, library, parameters
from .client import Client
from .errors import ConfigurationError, Error, InUseError
from .rounds import Rounds

_MOST_REFUSED = 20  # refused exchanges in a row, as cddp-worker --max_skipped_steps

# The optimizer that trains a parameter, by the parameter's id. It finds two optimizers on one model.
_owners: dict[int, weakref.ref] = {}


def named_parameters(model: torch.nn.Module | None, groups: list[dict[str, Any]]) -> list[tuple[str, torch.Tensor]]:
    """Each parameter once, in the model's order. Frozen ones too: all workers must begin with the same."""
    grouped = [parameter for group in groups for parameter in group["params"]]
    if model is None:
        return [(f"parameter_{number}", parameter) for number, parameter in enumerate(grouped)]
    if not isinstance(model, torch.nn.Module):
        raise ConfigurationError(f"model must be a torch.nn.Module, not {type(model).__name__}")
    named = list(model.named_parameters())
    known = {id(parameter) for _, parameter in named}
    if strangers := sum(id(parameter) not in known for parameter in grouped):
        raise ConfigurationError(f"the optimizer has {strangers} parameters that are not the model's: make it from "
                                 "model.parameters()")
    return named


def check_weight(weight: float) -> None:
    if not 0 <= weight < float("inf"):
        raise ConfigurationError(f"weight={weight}: must be 0 (no examples) or above, such as the number of examples")


class DistributedBase(torch.optim.Optimizer):
    """The common part of both optimizers: joining, waiting, saving, leaving."""

    _step_supports_amp_scaling = True  # GradScaler calls step() for steps with infinities, too
    _flat: parameters.FlatParameters
    _client: Client

    def _join(self, model: torch.nn.Module | None, push: str, place: Mapping[str, Any], defaults: Mapping[str, object],
              options: Mapping[str, object], agree: Mapping[str, object] | None) -> None:
        named = named_parameters(model, self.param_groups)
        for name, parameter in named:
            owner = _owners.get(id(parameter), lambda: None)()
            if owner is not None and not owner._client.over:
                raise InUseError(f"{name} is trained by another distributed optimizer already: call its leave() first, or "
                                 "make one optimizer with several parameter groups")
        self._flat = parameters.FlatParameters(named, model)
        self._flat.gather_counters()
        self._refused_in_a_row = 0
        self._client = Client(self._flat.tensors(), defaults=defaults, options={**options, "push": push},
                              agree=agree or {}, keep=self._flat, **place)
        for _, parameter in named:
            _owners[id(parameter)] = weakref.ref(self)
        self._client.start()
        self._flat.scatter()
        self._flat.scatter_counters()

    def _finish(self) -> library.Result:
        result = self._client.finish()
        self._flat.scatter()
        if result.exchanged:
            self._refused_in_a_row = self._refused_in_a_row + 1 if result.refused else 0
        if self._refused_in_a_row >= _MOST_REFUSED:
            raise Error(f"{_MOST_REFUSED} exchanges in a row were refused, for a weight or gradient of a worker is NaN or "
                        "infinite: the training has diverged; lower the learning rate or clip gradients")
        return result

    def _take_scale(self, scaler: Any) -> bool:
        """Unscales gradients as a GradScaler requires. Returns whether one is not finite, so that the step must be skipped."""
        if scaler is not None:  # PyTorch before 2 passes the scaler itself
            if not scaler.is_enabled():
                return False
            state = scaler._per_optimizer_states[id(self)]
            if not state["found_inf_per_device"]:
                scaler.unscale_(self)
            return sum(found.item() for found in state["found_inf_per_device"].values()) > 0
        # PyTorch 2 and later sets two attributes for the duration of the call.
        scale, found = self.__dict__.get("grad_scale"), self.__dict__.get("found_inf")
        if scale is not None:
            for group in self.param_groups:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        parameter.grad.div_(scale.to(parameter.grad.device))
        return found is not None and float(found) > 0

    def _save(self) -> dict[str, Any]:
        self._flat.gather_counters()
        state = torch.frombuffer(bytearray(self._client.save()), dtype=torch.uint8)
        return {"state": state, "arithmetic": arithmetic.kind()}

    def _restore(self, own: Mapping[str, Any]) -> None:
        self._client.restore(own["state"].numpy().tobytes())
        arithmetic.compare(own.get("arithmetic"))
        self._flat.scatter()
        self._flat.scatter_counters()

    def summary(self) -> dict[str, int | float]:
        """This worker's statistics by name: rank, steps, bytes both ways, the residual's norm, seconds waited, and more."""
        return {**self._client.statistics().as_dict(), "loss": self._client.loss}

    def leave(self, finished: bool = True) -> None:
        """Ends this worker's part; the others continue without it. `finished`: its training is complete; False: it gives up."""
        self._client.leave(finished)

    def __enter__(self) -> DistributedBase:
        return self

    def __getstate__(self) -> dict[str, Any]:
        raise TypeError("a distributed optimizer cannot be copied or pickled: save its state_dict()")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.leave()
        else:
            self._client.end_at_exit(finished=False)  # the exception that was raised matters more than an error of leaving


def _place(servers: Any, rank: Any, workers: Any) -> dict[str, Any]:
    return {"servers": servers, "rank": rank, "workers": workers}


class DistributedOptimizer(DistributedBase):
    """Makes the steps of `optimizer` at this worker, and after every `local_steps` of them exchanges their changes.

    A drop-in for `optimizer`: step(), zero_grad(), param_groups, state_dict(), learning-rate schedulers and GradScaler
    work as before. Every worker must make the same number of steps. All workers begin with rank 0's weights.

    Servers, rank and number of workers come from the arguments, else from the environment (CDDP_SERVERS, RANK,
    WORLD_SIZE), which `cddp run` sets. Each exchange sends the largest changes, a part `ratio` of all; the rest is sent
    later. `local_steps="auto"`: as few as the network hides, decided by all workers together. With `overlap=K` an exchange
    goes on beside the next K steps, and the weights get its answer after them; call exchange() at an epoch's end. Further
    options have the names of cddp-worker's flags: value_encoding="int4", server_timeout="60s", .... `agree` names facts that
    all workers must have alike ({"batch_size": 64}).

    The model's parameters are moved into one array: make the optimizer after model.to() and the like.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, model: torch.nn.Module | None = None, *,
                 local_steps: int | str | None = None, overlap: int | None = None, ratio: float | None = None,
                 servers: str | list[str] | None = None, rank: int | str | None = None, workers: int | None = None,
                 agree: Mapping[str, object] | None = None, **options: object) -> None:
        # Optimizer.__init__ is not called: groups and state are those of the wrapped optimizer.
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise ConfigurationError(f"optimizer must be a torch.optim.Optimizer, not {type(optimizer).__name__}")
        if isinstance(optimizer, DistributedBase):
            raise ConfigurationError("the optimizer is a distributed one already")
        self.optimizer = optimizer
        self._outer_groups: list[dict[str, Any]] | None = None  # with masters: the groups that the user sees
        self._join(model, "weights", _place(servers, rank, workers), {"local_steps": 4, "ratio": 0.1},
                   {"local_steps": local_steps, "overlap": overlap, "ratio": ratio, **options}, agree)
        self._rounds = Rounds(self._client)
        self._use_masters()

    def _use_masters(self) -> None:
        masters = {id(part.tensor): torch.nn.Parameter(part.array, requires_grad=part.tensor.requires_grad)
                   for part in self._flat.parts if self._flat.has_master(part)}
        self._masters = [(part.tensor, masters[id(part.tensor)]) for part in self._flat.parts if id(part.tensor) in masters]
        if not masters:
            return
        if self.optimizer.state:
            raise ConfigurationError("the optimizer has a state of half precision already: make the distributed optimizer "
                                     "before the first step, and load its own state_dict()")
        self._outer_groups = self.optimizer.param_groups
        self.optimizer.param_groups = [
            {**group, "params": [masters.get(id(parameter), parameter) for parameter in group["params"]]}
            for group in self._outer_groups]

    @property
    def local_steps(self) -> int:
        """Steps between two exchanges, now."""
        return self._client.statistics().round_steps

    # Schedulers, GradScaler and training loops see the wrapped optimizer's members.
    @property
    def param_groups(self) -> list[dict[str, Any]]:  # type: ignore[override]
        return self.optimizer.param_groups if self._outer_groups is None else self._outer_groups

    @property
    def state(self) -> Any:  # type: ignore[override]
        return self.optimizer.state

    @property
    def defaults(self) -> dict[str, Any]:  # type: ignore[override]
        return self.optimizer.defaults

    def __getattr__(self, name: str) -> Any:
        if name == "optimizer":
            raise AttributeError(name)
        return getattr(self.optimizer, name)

    def __repr__(self) -> str:
        return f"DistributedOptimizer({self.optimizer!r}, local_steps={self._client.option('local_steps')})"

    def zero_grad(self, *args: Any, **keywords: Any) -> None:
        self.optimizer.zero_grad(*args, **keywords)
        for parameter, _ in self._masters:
            parameter.grad = None

    def add_param_group(self, group: dict[str, Any]) -> None:
        if "_client" in self.__dict__:
            raise ConfigurationError("parameters cannot be added to a training that has begun: make the optimizer with all "
                                     "groups first")
        self.optimizer.add_param_group(group)

    def step(self, closure: Callable[[], Any] | None = None, *, weight: float = 1.0, loss: float | None = None,
             **amp: Any) -> Any:
        """Makes one step of the optimizer; every `local_steps`-th call also exchanges with the other workers.

        `weight`: how much this step counts in the workers' mean, relative to other steps: the number of its examples,
        where batches differ. 0: it has no examples, so the optimizer makes no step, and this worker only takes part so that
        the other workers can finish theirs. `loss`: for `cddp status`.
        """
        self._client._check_usable()
        check_weight(weight)
        result = None
        if not self._take_scale(amp.get("grad_scaler")) and weight > 0:
            result = self._step_within(closure)
        if loss is not None:
            self._client.loss = float(loss)
        if self._rounds.note_step(weight):
            self._exchange()
        return result

    def exchange(self) -> None:
        """Exchanges the changes since the last exchange now; then all workers have the same weights. All workers must call
        it after the same step."""
        for _ in range(self._rounds.until_together()):
            self._exchange()

    def _exchange(self) -> None:
        self._flat.gather()
        self._rounds.begin()
        self._finish()
        self._rounds.note_finished()

    def _step_within(self, closure: Callable[[], Any] | None) -> Any:
        if not self._masters:
            return self.optimizer.step(closure) if closure is not None else self.optimizer.step()
        if closure is not None:
            raise ConfigurationError("step(closure) does not work with parameters of half precision")
        for outer, inner in zip(self._outer_groups or [], self.optimizer.param_groups):
            inner.update({name: value for name, value in outer.items() if name != "params"})
        for parameter, master in self._masters:
            master.grad = None if parameter.grad is None else parameter.grad.to("cpu", torch.float32)
        result = self.optimizer.step()
        self._flat.scatter(masters_only=True)
        return result

    def state_dict(self) -> dict[str, Any]:
        """The optimizer's state, and under "cddp" this worker's: weights, residual, position."""
        self._flat.gather()
        state = self.optimizer.state_dict()
        state["cddp"] = {**self._save(), **self._rounds.state()}
        return state

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continues from a state_dict() of this rank, before the first step; sets the model's weights as well.

        A state without "cddp", such as the optimizer's of another training, sets the optimizer alone.
        """
        state = dict(state_dict)
        own = state.pop("cddp", None)
        self.optimizer.load_state_dict(state)
        if self._outer_groups is not None:
            for outer, inner in zip(self._outer_groups, self.optimizer.param_groups):
                outer.update({name: value for name, value in inner.items() if name != "params"})
        if own is None:
            return
        self._restore(own)
        self._rounds.restore(own)
