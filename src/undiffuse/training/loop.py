"""The training loop: a generator of reports, one a step. Everything else watches it."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from undiffuse.model import Denoiser
from undiffuse.objectives import Objective
from undiffuse.processes import ALONE, Processes
from undiffuse.random import Batch, keyed
from undiffuse.training.ema import EMA
from undiffuse.training.gate import NonFiniteError, Watch, first_bad
from undiffuse.training.optimizer import learning_rate, optimizer_of, state_of
from undiffuse.training.parallel import Parallel, whole
from undiffuse.training.settings import Settings


@dataclass(frozen=True)
class Progress:
    """What one step did. `step` counts the steps done; `seconds` is the step's own time.

    A step whose loss or gradient was not finite and that was left out has the error in `skipped`.
    """

    step: int
    loss: float
    grad_norm: float
    lr: float
    seconds: float
    skipped: NonFiniteError | None = None


class State:
    """The state that training changes: weights, optimizer, average, and the number of steps done."""

    def __init__(self, model: Denoiser, settings: Settings) -> None:
        self.model = model
        self.settings = settings
        self.optimizer = optimizer_of(model, settings)
        self.ema = EMA(model, settings.ema)
        self.step = 0
        self.skips = 0  # steps left out in a row
        self._watch: Watch | None = None

    def groups(self) -> dict[str, dict[str, Tensor]]:
        """Everything that training changes, by name."""
        weights = {name: p.detach() for name, p in self.model.named_parameters()}
        optimizer = state_of(self.optimizer, self.model)
        return {"weights": weights, "average": self.ema.average, "optimizer": optimizer}

    def finite(self) -> bool:
        """Whether all of it is."""
        if self._watch is None:
            groups = self.groups()
            self._watch = Watch([t for tensors in groups.values() for t in tensors.values()])
            if not groups["optimizer"]:  # its tensors come with the first update
                watch, self._watch = self._watch, None
                return watch.finite() or first_bad(groups) is None
        return self._watch.finite() or first_bad(self.groups()) is None


def train(
    state: State,
    batches: Callable[[int], Tensor],
    objective: Objective,
    seed: int,
    labels: Callable[[int], Tensor] | None = None,
    processes: Processes = ALONE,
) -> Iterator[Progress]:
    """Train until `settings.steps` steps are done, yielding after each.

    Step n sees the examples `batches(n)`, with `labels(n)` if there are any: this process's rows of them.
    Step n draws by keys of n and of the row alone, so that a state and its step number are all there is to
    save, and parts and processes make the same step, up to rounding (but for dropout).
    Raises NonFiniteError, before anything is changed, if the loss, the gradient or the state is not finite;
    with `settings.non_finite` skip, only for the state, or after `skip_limit` steps in a row.
    """
    settings, model = state.settings, state.model
    device, parallel = next(model.parameters()).device, Parallel(model, objective, processes)
    while state.step < settings.steps:
        began, rate = time.perf_counter(), learning_rate(state.step, settings)
        if not model.training:  # an evaluation came between
            model.train()
        state.optimizer.zero_grad()  # what a step that was interrupted may have left
        x_0 = batches(state.step).to(device)
        given = None if labels is None else labels(state.step).to(device)
        own = _backward(parallel, x_0, given, (seed, state.step), settings)
        loss, broken = processes.total([own, float(not state.finite())])
        norm = _clip(model, settings.clip)
        bad = _checked(state, x_0, loss, norm, whole=not broken)
        if bad is None:
            _update(state, rate)
        _learn(objective, processes)
        state.skips = 0 if bad is None else state.skips + 1
        state.step += 1
        yield Progress(state.step, loss, norm, rate, time.perf_counter() - began, bad)


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


def _checked(state: State, x_0: Tensor, loss: float, norm: float, whole: bool) -> NonFiniteError | None:
    """None if the update may be made, an error if the step is to be left out; else the error is raised."""
    if whole and math.isfinite(loss) and math.isfinite(norm):
        return None
    gradients = {n: p.grad for n, p in state.model.named_parameters() if p.grad is not None}
    where = {"batch": {"x_0": x_0}} | state.groups() | {"gradient": gradients}
    bad = first_bad(where) or "none: the loss itself"
    error = NonFiniteError(state.step, loss, norm, bad, not whole)
    if state.settings.non_finite == "skip" and whole and state.skips < state.settings.skip_limit:
        return error
    raise error


@contextmanager
def _dropout_seed(generator: torch.Generator, device: torch.device) -> Iterator[None]:
    """Dropout takes no generator: seed the global one for it, and put it back afterwards."""
    cuda = device.type == "cuda"
    with torch.random.fork_rng([device] if cuda else []):
        # torch.manual_seed would also queue a seed, with a traceback, for every device not yet in use.
        torch.default_generator.manual_seed(generator.initial_seed())
        if cuda:
            torch.cuda.manual_seed(generator.initial_seed())
        yield


def _backward(
    parallel: Parallel, x_0: Tensor, labels: Tensor | None, key: tuple[int, int], to: Settings
) -> float:
    """Add the gradient of the batch's mean loss, in parts; returns this process's share of the loss."""
    (seed, step), processes = key, parallel.processes
    begin, loss = processes.part(to.batch).start, torch.zeros((), device=x_0.device)
    for number, rows in enumerate(torch.arange(len(x_0)).tensor_split(to.accumulate), 1):
        first, given = begin + int(rows[0]), None if labels is None else labels[rows.to(labels.device)]
        noise = Batch(seed, "train", step, rows=begin + rows, size=to.batch)
        with (
            parallel.adding(last=number == to.accumulate),
            _dropout_seed(keyed(seed, "dropout", step, first), x_0.device),
        ):
            with torch.autocast(x_0.device.type, torch.bfloat16, enabled=to.precision == "bf16"):
                mean = parallel.loss(x_0[rows], given, noise) / to.batch
            (mean * processes.size).backward()
        loss += mean.detach()
    return float(loss)


def _clip(model: Denoiser, limit: float) -> float:
    """The gradient's norm, before it is clipped at `limit` (0: not clipped)."""
    bound = limit if limit > 0 else float("inf")
    return float(whole(torch.nn.utils.clip_grad_norm_(model.parameters(), bound)))
