"""The training loop: a generator of reports, one a step. Everything else watches it."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from torch import Tensor

from undiffuse.ambient import unaided
from undiffuse.conditions import Given
from undiffuse.devices import sent
from undiffuse.memory import out_of_memory
from undiffuse.model import Denoiser
from undiffuse.objectives import Objective
from undiffuse.processes import ALONE, Processes
from undiffuse.random import Batch
from undiffuse.training.ema import EMA
from undiffuse.training.gate import Gate, NonFiniteError, first_bad
from undiffuse.training.optimizer import learning_rate, optimizer_of, state_of
from undiffuse.training.parallel import Parallel, whole
from undiffuse.training.precision import Precision, precision_of
from undiffuse.training.scaling import LossScale
from undiffuse.training.settings import Settings
from undiffuse.training.spikes import SpikeError, Spikes
from undiffuse.training.watch import Watch

Noise = Callable[[range], Batch]  # what some rows of a batch draw with


@dataclass(frozen=True)
class Progress:
    """What one step did. `step` counts the steps done; `seconds` is the step's own time.

    `taken`: whether the weights moved. A step that was left out because its loss or gradient was not finite
    has the error in `skipped`; one whose loss is a spike, left out or not, has it in `spike`. Training in
    float16 has its `loss_scale`, and the steps so far that were left out because the gradient overflowed. If
    the memory did not suffice for the step at first, `parts` says in how many it and all later are computed.
    """

    step: int
    loss: float
    grad_norm: float
    lr: float
    seconds: float
    taken: bool = True
    skipped: NonFiniteError | None = None
    spike: SpikeError | None = None
    loss_scale: float | None = None
    overflows: int = 0
    parts: int | None = None


class State:
    """The state that training changes: weights, optimizer, average, and the number of steps done.

    `precision` is what the network is computed in; without one, what the settings say.
    """

    def __init__(self, model: Denoiser, settings: Settings, precision: Precision | None = None) -> None:
        self.model = model
        self.settings = settings
        device = next(model.parameters()).device
        self.precision = precision or precision_of(settings.precision, model.network, device)
        self.optimizer = optimizer_of(model, settings, self.precision)
        self.ema = EMA(model, settings.ema)
        self.step = 0
        self.parts = settings.accumulate  # of a batch, in this process
        self.skips = 0  # steps left out in a row
        self.spikes = Spikes(settings.spike)
        self.scaling = LossScale(self.precision.name == "fp16")
        self.rewinds = self.detour = 0  # how often the run went back, and the batches it left out by that
        self.watch = Watch(settings.patience) if settings.watch else None
        self._gate: Gate | None = None

    @property
    def batch(self) -> int:
        """The number of the next batch, which keys all that is drawn for it."""
        return self.step + self.detour

    def notes(self) -> dict[str, Any]:
        """What training remembers beside the tensors."""
        counts = {"skips": self.skips, "rewinds": self.rewinds, "detour": self.detour}
        seen = {"losses": self.spikes.recent, "scaling": self.scaling.state()}
        watch = None if self.watch is None or self.watch.best < 0 else self.watch.state()
        return counts | seen | {"precision": self.precision.name, "watch": watch}

    def put_back(self, step: int, notes: dict[str, Any], best: Mapping[str, Tensor]) -> None:
        """The notes of a step and the best weights, after the other tensors were put back."""
        if self.watch is not None and notes["watch"] is not None:
            self.watch.restore(notes["watch"], best)
        self.step, self.skips = step, notes["skips"]
        self.rewinds, self.detour = notes["rewinds"], notes["detour"]
        self.spikes.recent = notes["losses"]
        self.scaling.restore(notes["scaling"])
        self._gate = None  # those of the optimizer may be others

    def groups(self) -> dict[str, dict[str, Tensor]]:
        """Everything that training changes, by name."""
        weights = {name: p.detach() for name, p in self.model.named_parameters()}
        optimizer = state_of(self.optimizer, self.model)
        return {"weights": weights, "average": self.ema.average, "optimizer": optimizer}

    def sum(self) -> Tensor:
        """Of all of it, 0-d, where the model is: finite only if all of it is (see `gate`)."""
        if self._gate is not None:
            return self._gate.sum()
        groups = self.groups()
        gate = Gate([t for tensors in groups.values() for t in tensors.values()])
        self._gate = gate if groups["optimizer"] else None  # its tensors come with the first update
        return gate.sum()

    def finite(self) -> bool:
        """Whether all of it is, one by one."""
        return first_bad(self.groups()) is None


@unaided
def train(
    state: State,
    batches: Callable[[int], Tensor],
    objective: Objective,
    seed: int,
    given: Callable[[int], Given | None] = lambda step: None,
    processes: Processes = ALONE,
    leaving: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> Iterator[Progress]:
    """Train until `settings.steps` steps are done, yielding after each.

    Step n sees the examples `batches(n)`, with what they are `given(n)`: this process's rows of them.
    Step n draws by keys of n and of the row alone, so that a state and its step number are all there is to
    save, and parts and processes make the same step, up to rounding (but for dropout). If the run has gone
    back (see `recipes.rewind`), the batches' number runs ahead of the step's by `state.detour`.
    Inside `leaving` it reads the batch and works the gradient out: an exception that comes there finds the
    state as it was after the last step, and what the objective's times have found, which is for `forget`.
    A loss that is a spike is reported; unless `settings.on_spike` is record, its step is left out. Whoever
    reads the reports may then change the state: the next step is the one that it says.
    Raises NonFiniteError, before anything is changed, if the loss, the gradient or the state is not finite;
    with `settings.non_finite` skip, only for the state, or after `skip_limit` steps in a row. SpikeError
    after as many spikes in a row.
    """
    settings, model = state.settings, state.model
    device, parallel = next(model.parameters()).device, Parallel(model, objective, processes)
    noise = cache(lambda rows: Batch(seed, "train", rows=rows, size=settings.batch))
    while state.step < settings.steps:
        began, rate = time.perf_counter(), learning_rate(state.step, settings)
        if not model.training:  # an evaluation came between
            model.train()
        state.optimizer.zero_grad()  # what a step that was interrupted may have left
        number, parts = state.batch, state.parts
        with leaving():
            x_0 = sent(_checked_size(batches(number), processes.part(settings.batch)), device)
            own = _gradient(parallel, x_0, given(number), noise, state)
        shared = processes.summed(torch.stack([own, (~state.sum().isfinite()).to(own)]))
        state.scaling.unscale(model.parameters())
        norm = _clip(model, settings.clip)
        loss, broken, length = read(torch.cat([shared, norm.to(shared).reshape(1)]))
        whole = not broken or not processes.total([float(not state.finite())])[0]
        seen = _finish(state, x_0, loss, length, rate, whole=whole)
        _learn(objective, processes)
        more = None if state.parts == parts else state.parts
        yield replace(seen, seconds=time.perf_counter() - began, parts=more)


def read(t: Tensor) -> list[float]:
    """The numbers of a tensor (n,): the one place where a step waits for the device."""
    return t.cpu().tolist()


def _checked_size(x_0: Tensor, part: range) -> Tensor:
    """The batch itself. Raises ValueError for another size than that which the loss is divided by."""
    if len(x_0) != len(part):
        raise ValueError(f"a batch of {len(x_0)} examples: the settings say {len(part)} (train.batch)")
    return x_0


def _finish(state: State, x_0: Tensor, loss: float, norm: float, rate: float, *, whole: bool) -> Progress:
    """Update, unless the step is to be left out, and count it."""
    overflow = state.scaling.overflowed(loss, norm)
    bad = _checked(state, x_0, loss, norm, whole, overflow)
    spike = _spike(state, loss) if bad is None and not overflow else None
    left_out = bad is not None or (spike is not None and state.settings.on_spike != "record")
    taken = not overflow and not left_out
    if taken:
        _update(state, rate)
        state.spikes.add(loss)
    if bad is None:
        state.scaling.update(overflow)
    if not overflow:
        state.skips = state.skips + 1 if left_out else 0
    state.step += 1
    scale = state.scaling.scale if state.scaling.on else None
    return Progress(state.step, loss, norm, rate, 0.0, taken, bad, spike, scale, state.scaling.overflows)


def _update(state: State, rate: float) -> None:
    """One step of the optimizer and of the average."""
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    state.optimizer.step()
    state.ema.update(state.step)


def _learn(objective: Objective, processes: Processes) -> None:
    """The objective's times learn from what all processes found."""
    found = objective.times.found()
    if found is not None:
        objective.times.learn(processes.gather(found.T).T)


def _checked(
    state: State, x_0: Tensor, loss: float, norm: float, whole: bool, overflow: bool
) -> NonFiniteError | None:
    """None if all is finite, an error if the step is to be left out; else the error is raised.

    The norm of a gradient that overflowed may be infinite.
    """
    if whole and math.isfinite(loss) and (overflow or math.isfinite(norm)):
        return None
    gradients = {n: p.grad for n, p in state.model.named_parameters() if p.grad is not None}
    where = {"batch": {"x_0": x_0}} | state.groups() | {"gradient": gradients}
    bad = first_bad(where) or "none: the loss itself"
    error = NonFiniteError(state.step, loss, norm, bad, not whole)
    if state.settings.non_finite == "skip" and whole and state.skips < state.settings.skip_limit:
        return error
    raise error


def _spike(state: State, loss: float) -> SpikeError | None:
    """The spike that the loss is; raised after too many in a row."""
    spike, limit = state.spikes.find(state.step, loss), state.settings.skip_limit
    if spike is not None and state.skips >= limit:
        raise spike.because(f"{limit} steps in a row were left out (train.skip_limit)")
    return spike


@contextmanager
def _dropout_seed(generator: torch.Generator, device: torch.device) -> Iterator[None]:
    """Dropout takes no generator: seed the global one for it, and put it back afterwards."""
    own = [device] if device.type in ("cuda", "mps") else []
    with torch.random.fork_rng(own, device_type=device.type if own else "cuda"):
        # torch.manual_seed would also queue a seed, with a traceback, for every device not yet in use.
        torch.default_generator.manual_seed(generator.initial_seed())
        if own:
            torch.get_device_module(device).manual_seed(generator.initial_seed())
        yield


def _gradient(parallel: Parallel, x_0: Tensor, given: Given | None, noise: Noise, state: State) -> Tensor:
    """Put the gradient of the batch's mean loss in place; returns this process's share of the loss, 0-d.

    If the memory does not suffice and the settings say so: again, by the same keys, in twice as many parts.
    """
    while True:
        try:
            return _backward(parallel, x_0, given, noise, state)
        except (RuntimeError, MemoryError) as error:
            if not (state.settings.halve_on_oom and out_of_memory(error)) or len(x_0) < 2 * state.parts:
                raise
        state.parts *= 2  # here, where the error no longer holds the tensors of the attempt
        state.optimizer.zero_grad()
        parallel.objective.times.forget()


def _backward(parallel: Parallel, x_0: Tensor, given: Given | None, noise: Noise, state: State) -> Tensor:
    """Add the gradient of the batch's mean loss, scaled, in parts; this process's share of it, 0-d."""
    to, processes = state.settings, parallel.processes
    begin, loss = processes.part(to.batch).start, torch.zeros((), device=x_0.device, dtype=torch.float32)
    for number, rows in enumerate(torch.arange(len(x_0)).tensor_split(state.parts), 1):
        told, first = None if given is None else given.rows(rows), int(rows[0])
        x, last = x_0[first : first + len(rows)], begin + first + len(rows)
        draws = noise(range(begin + first, last)).at(state.batch)
        with parallel.adding(last=number == state.parts), _dropout_seed(draws.own("dropout"), x_0.device):
            with state.precision.autocast(x_0.device):
                mean = parallel.loss(x, told, draws) / to.batch
            state.scaling.apply(mean * processes.size).backward()  # type: ignore[no-untyped-call]
        loss += mean.detach()
    return loss


def _clip(model: Denoiser, limit: float) -> Tensor:
    """The gradient's norm, 0-d, before it is clipped at `limit` (0: not clipped)."""
    bound = limit if limit > 0 else float("inf")
    return whole(torch.nn.utils.clip_grad_norm_(model.parameters(), bound))
