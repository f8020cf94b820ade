"""One or more examples of every entry of every registry; a new entry needs a line here."""

import torch
from torch import Tensor, nn

from undiffuse import (
    distributions,
    kernels,
    networks,
    objectives,
    parameterizations,
    posteriors,
    samplers,
    schedules,
)
from undiffuse.bases import Frequencies, GaussianBase
from undiffuse.distributions import Bernoulli, Categorical, Discretized, Normal
from undiffuse.kernels import Binomial, Gaussian, Universal
from undiffuse.model import Denoiser
from undiffuse.networks.blocks import ConvNeXT
from undiffuse.schedules import (
    Betas,
    ConstantFraction,
    Cosine,
    Learned,
    LearnedBetas,
    Linear,
    LogLinear,
)

SCHEDULES = {
    "linear": [Linear(), Linear(steps=None), Linear(0.1, 0.3, steps=7)],
    "quadratic": [schedules.Quadratic(), schedules.Quadratic(steps=None)],
    "sigmoid": [schedules.Sigmoid(), schedules.Sigmoid(steps=None)],
    "cosine": [Cosine(), Cosine(steps=None), Cosine(steps=20, max_beta=0.9)],
    "betas": [Betas([0.1, 0.5, 0.2]), Betas([0.3, 0.4, 1.0]), Betas([0.5])],
    "constant-fraction": [ConstantFraction()],
    "log-linear": [LogLinear()],
    "learned-betas": [LearnedBetas(), LearnedBetas(5, 0.01, -3.0)],
    "learned": [Learned(), Learned(4.0, -2.0, 1)],
}
for part in (*SCHEDULES["learned-betas"], *SCHEDULES["learned"]):
    g = torch.Generator().manual_seed(1)
    with torch.no_grad():
        part.raw.copy_(torch.randn(part.raw.shape, generator=g))
    part.requires_grad_(False)
KINDS = {  # of schedules: what depends on the log-SNR alone need not be tried on every one of them
    "table": [Linear(), Betas([0.3, 0.4, 1.0])],  # the second keeps nothing
    "continuous": [Cosine(steps=None), LogLinear()],  # whose log-SNR is infinite at both ends, and at neither
    "learned": [SCHEDULES["learned"][1]],
}
GAUSSIAN = {"gaussian": [Gaussian(s) for kind in KINDS.values() for s in kind]}
KERNELS = GAUSSIAN | {
    "binomial": [Binomial(s) for kind in KINDS.values() for s in kind]
    + [Binomial(ConstantFraction(), 0.2), Binomial(Cosine(None), [0.1, 0.5, 0.99])],
    "categorical": [kernels.Categorical(s, 4) for s in (Linear(), ConstantFraction(), Betas([0.3, 0.4]))],
    "universal": [Universal(Linear()), Universal(Learned()), Universal(Betas([0.3, 0.4, 1.0]))],
    "absorbing": [kernels.Absorbing(s, 3) for s in (ConstantFraction(), Betas([0.3, 0.4, 1.0]))],
}
NORMAL_BASE = GaussianBase(torch.tensor([0.2]), torch.tensor([0.5]))  # of vectors of any length
BIT_BASE = Frequencies(torch.tensor([[0.3, 0.7]]).double())
PARAMETERIZATIONS = {
    "eps": [parameterizations.Eps()],
    "x0": [parameterizations.X0()],
    "v": [parameterizations.V()],
    "mean": [parameterizations.Mean(1000), parameterizations.Mean(20)],
    "perturbed": [parameterizations.Perturbed(1000), parameterizations.Perturbed(20)],
    "score": [parameterizations.Score()],
    "logit": [parameterizations.Logit()],
    "clipped": [parameterizations.Clipped(parameterizations.V(), -9e9, 9e9)],
    "residual": [parameterizations.Residual(NORMAL_BASE)],
}
AFFINE = {name: parts for name, parts in PARAMETERIZATIONS.items() if "logit" not in name}
AFFINE.pop("residual")
PARAMETERIZATIONS["residual-logit"] = [parameterizations.ResidualLogit(BIT_BASE)]
VARIANCES = {
    "posterior": [parameterizations.Posterior()],
    "forward": [parameterizations.Forward()],
    "interpolated": [parameterizations.Interpolated()],
    "free": [parameterizations.Free()],
    "sigmoid": [parameterizations.Sigmoid(), parameterizations.Sigmoid(0.2)],
    "table": [parameterizations.Table([0.01 * i for i in range(1, 21)])],
    "residual": [parameterizations.ResidualVariance(NORMAL_BASE)],
}
DECODERS = {
    "normal": [parameterizations.NormalDecoder(), parameterizations.NormalDecoder(std=0.3)],
    "discretized": [
        parameterizations.DiscretizedDecoder(16),
        parameterizations.DiscretizedDecoder(256, std=0.01),
    ],
    "symbols": [parameterizations.SymbolDecoder()],
    "fixed": [parameterizations.FixedDecoder()],
    "learned": [parameterizations.LearnedDecoder()],
}
AROUND = {name: DECODERS[name] for name in ("normal", "discretized")}
SAMPLERS = {
    "ancestral": [samplers.Ancestral()],
    "ddim": [samplers.DDIM(), samplers.DDIM(eta=0.5), samplers.DDIM(eta=1.0)],
    "dpm-solver": [samplers.DPMSolver(), samplers.DPMSolver(3)],
    "dpm-solver++": [
        samplers.DPMSolverPP(3),
        samplers.DPMSolverPP(singlestep=True),
        samplers.DPMSolverPP(tau=1),
    ],
    "deis": [samplers.DEIS()],
    "unipc": [samplers.UniPC(2)],
    "sa-solver": [samplers.SASolver()],
    "exponential": [samplers.Exponential(4, of="noise", corrector=2, tau=0.3)],
    "langevin": [samplers.Langevin(), samplers.Langevin(corrections=3, snr=0.3)],
    "resampled": [samplers.Resampled(1), samplers.Resampled(3)],
    "counted": [samplers.Counted()],
}
OF_NUMBERS = {name: parts for name, parts in SAMPLERS.items() if name != "counted"}


def leaning(x: Tensor) -> Tensor:
    """A classifier of vectors into two classes, by their sum."""
    lean = x.flatten(1).sum(1)
    return torch.stack([-lean, lean], 1)


FACTORS = {
    "known": [
        posteriors.Known(torch.tensor([0.5, 0.0, 1.0]).double(), torch.tensor([True, False, True])),
        posteriors.Known(torch.zeros(1, 3), torch.zeros(1, 3).bool()),
    ],
    "noisy": [posteriors.Noisy(torch.ones(3).double(), 0.5), posteriors.Noisy(torch.zeros(()), 9.0)],
    "linear": [
        posteriors.Linear(posteriors.operators.Matrix(torch.tensor([[1.0, 2.0, -1.0]])), torch.ones(1), 0.3),
        posteriors.Linear(
            lambda x: x[:, 1:] - x[:, :-1], torch.tensor([0.1, -0.3]), torch.tensor([0.2, 4.0])
        ),
    ],
    "log-density": [posteriors.LogDensity(lambda x: -(x**4).sum(1))],
    "classifier": [posteriors.Classifier(leaning, 1), posteriors.Classifier(leaning, 0, 3.0)],
    "linearised": [posteriors.Linearised(posteriors.Noisy(torch.ones(3).double(), 0.5))],
    "both": [
        posteriors.Noisy(torch.ones(3), 0.5)
        * posteriors.Known(torch.zeros(3), torch.tensor([False, True, False]))
        * posteriors.Classifier(leaning, 1)
    ],
    "odds": [posteriors.Odds(torch.tensor([0.5, -2.0, 0.0]))],
    "separable": [posteriors.Separable({0: lambda z: -(z**2), 2: lambda x: 0.3 * x})],
    "symbol-odds": [posteriors.SymbolOdds(torch.tensor([0.5, -2.0, 0.0]).expand(3, 3))],
}
GRIDS = {
    "uniform": [schedules.grids.uniform(1), schedules.grids.uniform(7), schedules.grids.uniform()],
    "strided": [schedules.grids.strided(20, 6), schedules.grids.strided()],
    "log-snr": [schedules.grids.logsnr(Linear(), 9), schedules.grids.logsnr(Cosine(None), 50, 0.01)],
    "times": [schedules.grids.times([0.1, 0.7, 1.0])],
}
TIMES = {"independent": [objectives.Independent()], "stratified": [objectives.Stratified()]}
TIMES["importance"] = [objectives.Importance(7)]
WEIGHTS = {
    "min-snr": [objectives.MinSNR(), objectives.MinSNR(0.5)],
    "truncated": [objectives.Truncated()],
    "snr": [objectives.SNR()],
}


def distilled(**keys) -> objectives.Distilled:
    """A student whose teacher goes half of the way to zero, whatever the times."""
    made = objectives.Distilled(grid=schedules.grids.uniform(4), **keys)
    made.teacher = lambda x_t, t, s, given, steps: x_t / 2
    return made


OBJECTIVES = {
    "simple": [
        objectives.Simple(),
        objectives.Simple("l1"),
        objectives.Simple("huber", objectives.MinSNR(), objectives.Independent()),
        objectives.Simple(grid=schedules.grids.uniform(20)),
    ],
    "variational": [
        objectives.Variational(grid=schedules.grids.uniform(5)),
        objectives.Variational(objectives.Independent(), 3, schedules.grids.strided(20, 4)),
    ],
    "hybrid": [
        objectives.Hybrid(grid=schedules.grids.uniform(20)),
        objectives.Hybrid("huber", objectives.MinSNR(), 0.5, grid=schedules.grids.strided(20, 6)),
    ],
    "continuous": [objectives.Continuous(grid=schedules.grids.uniform(20))],
    "distilled": [distilled(), distilled(loss="huber", weight=objectives.Truncated())],
}
NETWORKS = {
    "rbf": [lambda shape, outputs=1: networks.RBF(shape, 1000, outputs=outputs, units=4)],
    "sigmoid-mlp": [
        lambda shape, outputs=1: networks.SigmoidMLP(shape, 1000, outputs=outputs, hidden=6, layers=2)
    ],
    "multi-scale": [
        lambda shape, outputs=1: networks.MultiScale(shape, outputs=outputs, channels=6, layers=2, bumps=4),
        lambda shape, outputs=1: networks.MultiScale(
            shape, outputs=outputs, layers=1, scales=2, dense=9, activation="leaky", bump_ends=True
        ),
        lambda shape, outputs=1: networks.MultiScale(shape, outputs=outputs, layers=0, dense=9, bumps=5),
    ],
    "mlp": [
        lambda shape, outputs=1: networks.MLP(shape, hidden=16, layers=2, outputs=outputs),
        lambda shape, outputs=1: networks.MLP(shape, hidden=3, layers=1, outputs=outputs),
    ],
    "unet": [
        lambda shape, outputs=1: networks.UNet(shape, channels=8, multipliers=(1, 2), outputs=outputs),
        lambda shape, outputs=1: networks.UNet(
            shape, channels=6, multipliers=(1, 1, 2), blocks=2, attention=(1,), outputs=outputs
        ),
        lambda shape, outputs=1: networks.UNet(
            shape,
            channels=8,
            multipliers=(1, 2),
            attention=(0,),
            block=ConvNeXT(),
            attend=networks.ATTENTIONS["linear"](2, 4),
            down="pooled",
            patch=2,
            outputs=outputs,
        ),
    ],
    "annotated": [
        lambda shape, outputs=1: networks.AnnotatedUNet(
            shape, channels=8, multipliers=(1, 2), outputs=outputs
        )
    ],
}
DISTRIBUTIONS: list[distributions.Distribution] = [
    Bernoulli(torch.tensor([1e-9, 0.3, 0.5]).double(), 1 - torch.tensor([1e-9, 0.3, 0.5]).double()),
    Bernoulli.of_logits(torch.tensor([-40.0, 0.7, 700.0]).double()),
    Normal(torch.tensor([-1.0, 0.0, 3.0]).double(), torch.tensor([0.01, 1.0, 9.0]).double()),
    Normal(torch.zeros(3).double(), torch.tensor(0.25).double()),
    Categorical(
        torch.tensor([[0.0, 1.0, 2.0, -1.0], [0.0] * 4, [-30.0, 5.0, 0.0, 0.0]]).double(),
        torch.tensor([-1.0, -0.2, 0.5, 2.0]).double(),
    ),
    Categorical(torch.tensor([-torch.inf, 0.5, 0.0]).double().expand(3, 3), torch.arange(3.0).double()),
    Discretized(torch.tensor([-0.9, 0.1, 2.0]).double(), torch.tensor([0.3, 0.05, 1.0]).double(), 9),
    Discretized(torch.tensor([0.0, 0.4, -3.0]).double(), torch.tensor(0.5).double(), 2),
]

GROUPS: dict[str, tuple[dict, dict]] = {
    "schedules": (schedules.SCHEDULES, SCHEDULES),
    "kernels": (kernels.KERNELS, KERNELS),
    "parameterizations": (parameterizations.PARAMETERIZATIONS, PARAMETERIZATIONS),
    "variances": (parameterizations.VARIANCES, VARIANCES),
    "decoders": (parameterizations.DECODERS, DECODERS),
    "samplers": (samplers.SAMPLERS, SAMPLERS),
    "factors": (posteriors.FACTORS, FACTORS),
    "grids": (schedules.GRIDS, GRIDS),
    "times": (objectives.TIMES, TIMES),
    "weights": (objectives.WEIGHTS, WEIGHTS),
    "objectives": (objectives.OBJECTIVES, OBJECTIVES),
    "networks": (networks.NETWORKS, NETWORKS),
}


def each(group: dict) -> dict:
    """Arguments of pytest.mark.parametrize for every example of a group."""
    pairs = [(f"{name}-{i}", part) for name, parts in group.items() for i, part in enumerate(parts)]
    return {"argvalues": [part for _, part in pairs], "ids": [name for name, _ in pairs]}


class Small(nn.Module):
    """A smooth network with a few weights that depends on time; float64, vectors only."""

    def __init__(self, size: int = 3, outputs: int = 1, scale: float = 0.5) -> None:
        super().__init__()
        g = torch.Generator().manual_seed(5)
        weight = scale * torch.randn(outputs * size, size, generator=g, dtype=torch.float64)
        self.weight, self.outputs = nn.Parameter(weight), outputs

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        return torch.tanh(x_t + t[:, None]) @ self.weight.T + 0.1 * t[:, None]


def small_model(
    kernel: Gaussian | None = None,
    parameterization: parameterizations.Parameterization | None = None,
    variance: parameterizations.Variance | None = None,
    decoder: parameterizations.Decoder | None = None,
) -> Denoiser:
    """A float64 model on vectors of 3."""
    outputs = 2 if variance is not None and variance.learned else 1
    kernel = kernel or Gaussian(Linear(1e-3, 0.3, steps=20))
    return Denoiser(Small(outputs=outputs), kernel, parameterization, variance, decoder)
