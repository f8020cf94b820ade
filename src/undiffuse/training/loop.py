"""The training loop: a generator of reports, one a step. Everything else watches it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from undiffuse.model import Denoiser
from undiffuse.objectives import Objective
from undiffuse.random import keyed
from undiffuse.training.ema import EMA
from undiffuse.training.optimizer import learning_rate, optimizer_of
from undiffuse.training.settings import Settings


@dataclass(frozen=True)
class Progress:
    """What one step did. `step` counts the steps done; `seconds` is the step's own time."""

    step: int
    loss: float
    grad_norm: float
    lr: float
    seconds: float


class State:
    """The state that training changes: weights, optimizer, average, and the number of steps done."""

    def __init__(self, model: Denoiser, settings: Settings) -> None:
        self.model = model
        self.settings = settings
        self.optimizer = optimizer_of(model, settings)
        self.ema = EMA(model, settings.ema)
        self.step = 0


def train(
    state: State,
    batches: Callable[[int], Tensor],
    objective: Objective,
    seed: int,
    labels: Callable[[int], Tensor] | None = None,
) -> Iterator[Progress]:
    """Train until `settings.steps` steps are done, yielding after each.

    Step n sees the examples `batches(n)`, with `labels(n)` if there are any.
    Raises FloatingPointError, before the weights are touched, if the loss or the gradient is not finite.
    """
    settings, model = state.settings, state.model
    device = next(model.parameters()).device
    while state.step < settings.steps:
        began = time.perf_counter()
        if not model.training:  # an evaluation came between
            model.train()
        state.optimizer.zero_grad()  # what a step that was interrupted may have left
        x_0 = batches(state.step).to(device)
        generator = keyed(seed, "train", state.step)
        with _dropout_seed(keyed(seed, "dropout", state.step), device):
            given = model if labels is None else model.given(labels(state.step).to(device))
            loss = _backward(given, objective, x_0, generator, settings)
        norm = _clip(model, settings.clip)
        _check_finite(state.step, loss, norm)
        rate = learning_rate(state.step, settings)
        for group in state.optimizer.param_groups:
            group["lr"] = rate
        state.optimizer.step()
        state.ema.update(state.step)
        state.step += 1
        yield Progress(state.step, loss, norm, rate, time.perf_counter() - began)


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
    model: Denoiser, objective: Objective, x_0: Tensor, generator: torch.Generator, to: Settings
) -> float:
    """Add the gradient of the batch's mean loss, in parts; returns the loss."""
    loss = torch.zeros((), device=x_0.device)
    for rows in torch.arange(len(x_0)).chunk(to.accumulate):
        with torch.autocast(x_0.device.type, torch.bfloat16, enabled=to.precision == "bf16"):
            mean = objective(model.rows(rows), x_0[rows], generator).mean() / to.accumulate
        mean.backward()  # type: ignore[no-untyped-call]
        loss += mean.detach()
    return float(loss)


def _clip(model: Denoiser, limit: float) -> float:
    """The gradient's norm, before it is clipped at `limit` (0: not clipped)."""
    bound = limit if limit > 0 else float("inf")
    return float(torch.nn.utils.clip_grad_norm_(model.parameters(), bound))


def _check_finite(step: int, loss: float, norm: float) -> None:
    if not (abs(loss) < float("inf") and norm < float("inf")):
        raise FloatingPointError(
            f"step {step}: loss {loss}, gradient norm {norm}; the weights were left as they were. "
            "Try a smaller train.lr, a longer train.warmup, or train.precision=fp32"
        )
