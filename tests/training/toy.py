"""A model small enough to train in a blink: vectors of 2, a network of 34 weights."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from oracles import normals
from undiffuse.kernels import Gaussian
from undiffuse.model import Denoiser
from undiffuse.objectives import Independent, Objective, Simple
from undiffuse.schedules import LogLinear, Schedule
from undiffuse.training import Batches, Progress, Settings, State, train

DATA = normals(40, 2).float()


def settings(**changes: object) -> Settings:
    return Settings(**({"steps": 6, "batch": 8, "warmup": 2, "lr": 0.01, "ema": 0.9} | changes))


class Net(nn.Module):
    """Two layers with dropout between; its weights do not touch the global generator."""

    def __init__(self, dropout: float = 0.0, seed: int = 0) -> None:
        super().__init__()
        noise = normals(34, seed=seed).float() / 3
        self.first = nn.Parameter(noise[:16].reshape(2, 8).clone())
        self.bias = nn.Parameter(noise[16:18].clone())
        self.last = nn.Parameter(noise[18:34].reshape(8, 2).clone())
        self.dropout = dropout

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        h = torch.tanh(x_t @ self.first + t[:, None])
        return nn.functional.dropout(h, self.dropout, self.training) @ self.last + self.bias


class Told(Objective):
    """A function as an objective."""

    def __init__(self, function: Callable) -> None:
        self.function, self.times = function, Independent()

    def __call__(self, *arguments: object) -> Tensor:
        return self.function(*arguments)


def new_state(
    dropout: float = 0.0, seed: int = 0, schedule: Schedule | None = None, **changes: object
) -> State:
    return State(Denoiser(Net(dropout, seed), Gaussian(schedule or LogLinear())), settings(**changes))


def batches(size: int = 8) -> Batches:
    return Batches(DATA, lambda x: x, size, seed=3)


def steps(
    state: State, objective: Objective | Callable | None = None, count: int | None = None
) -> list[Progress]:
    """Train for `count` steps, or to the end."""
    done = []
    told = objective or Simple()
    told = told if isinstance(told, Objective) else Told(told)
    for progress in train(state, batches(state.settings.batch), told, seed=5):
        done.append(progress)
        if len(done) == count:
            break
    return done


def tensors(state: State) -> dict[str, Tensor]:
    """Everything training changes, copied."""
    from undiffuse.training import state_of

    weights = {f"weights/{k}": p for k, p in state.model.named_parameters()}
    average = {f"average/{k}": p for k, p in state.ema.average.items()}
    optimizer = state_of(state.optimizer, state.model)
    return {name: t.detach().clone() for name, t in (weights | average | optimizer).items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    """Equal bit for bit, names too."""
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
