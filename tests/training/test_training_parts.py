"""Whatever has parameters is trained, averaged and saved: training knows no part by its kind."""

import torch
from torch import nn
from toy import DATA, Net, settings

from undiffuse.distributions import Normal
from undiffuse.kernels import Gaussian
from undiffuse.model import Denoiser
from undiffuse.objectives import Variational
from undiffuse.parameterizations import NormalDecoder, V
from undiffuse.parameterizations.variance import Single
from undiffuse.schedules import LearnedBetas, grids
from undiffuse.training import Batches, State, train
from undiffuse.training.checkpoint import Checkpoint, latest, load, save
from undiffuse.training.optimizer import restore, state_of

GRID = grids.uniform(4)


class Scaled(nn.Module, Single):
    """A width of one's own: beta-tilde times a number that is learned."""

    def __init__(self) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(1))

    def __call__(self, bridge, raw, x_t, s, t):
        return torch.as_tensor(bridge.var, dtype=x_t.dtype).view(-1, 1) * self.log_scale.exp()


class Wide(nn.Module, NormalDecoder):
    """A decoder of one's own, as wide as it learns to be."""

    def __init__(self) -> None:
        super().__init__()
        self.log_std = nn.Parameter(torch.zeros(()))

    def __call__(self, x_0, x_t, t, kernel, last=None):
        return Normal(x_0, (2 * self.log_std).exp().to(x_0).expand(x_0.shape))


class Shifted(nn.Module, V):
    """A prediction of one's own, with a shift that is learned."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(2))

    def predict(self, output, x_t, t, kernel):
        return super().predict(output + self.shift.to(output), x_t, t, kernel)


OWN = ("variance.log_scale", "decoder.log_std", "parameterization.shift")
TABLE = "kernel.schedule.raw"


def made() -> State:
    kernel = Gaussian(LearnedBetas(4))
    return State(Denoiser(Net(), kernel, Shifted(), Scaled(), Wide()), settings(steps=5, lr=0.05))


def trained(state: State, until: int) -> State:
    objective = Variational(grid=GRID)
    for progress in train(state, Batches(DATA, lambda x: x, 8, 0), objective, seed=1):
        if progress.step == until:
            break
    return state


def test_every_part_with_parameters_is_trained_averaged_and_saved(tmp_path):
    state = made()
    before = {name: p.detach().clone() for name, p in state.model.named_parameters()}
    assert {*OWN, TABLE} <= before.keys()
    trained(state, 3)
    for name in (*OWN, TABLE):
        assert not torch.equal(dict(state.model.named_parameters())[name], before[name]), name
        assert not torch.equal(state.ema.average[name], before[name]), name
    groups = state.groups()
    save(tmp_path, Checkpoint(3, **groups, state=state.notes()), keep=1)
    other, found = made(), load(latest(tmp_path))
    with torch.no_grad():
        for name, p in other.model.named_parameters():
            p.copy_(found.weights[name])
            other.ema.average[name].copy_(found.average[name])
    restore(other.optimizer, other.model, found.optimizer)
    other.put_back(3, found.state, {})
    assert state_of(other.optimizer, other.model).keys() == state_of(state.optimizer, state.model).keys()
    for one, same in zip(
        trained(state, 5).model.parameters(), trained(other, 5).model.parameters(), strict=True
    ):
        assert torch.equal(one, same)
