"""How probable an observation is under a model: log Z = log E_p[r(x_0)], by groups of weighted particles."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from undiffuse.model import ReverseProcess
from undiffuse.random import Streams, root
from undiffuse.samplers.loop import last, like_of, reverse, start
from undiffuse.samplers.particles import Particles
from undiffuse.schedules import grids
from undiffuse.student import student
from undiffuse.track import SILENT, Track

APART = 0.5  # nats, the standard deviation of log Z between groups up to which the error is trusted


@dataclass(frozen=True)
class Evidence:
    """log Z in nats with its standard error, draws of the posterior, and how even the weights were.

    `x_0` (G K, *shape), each group a sample of its own; `log_z` (G,) of the groups; `size` the smallest
    effective size on the way, as a share of a group, averaged over groups. The error is as much wider for few
    groups as Student's t asks; it is `unsure` of itself where the groups differ by more than `APART` nats.
    """

    log_evidence: float
    se: float
    size: float
    log_z: Tensor
    x_0: Tensor

    @property
    def unsure(self) -> bool:
        """Whether groups differ so much that most of Z may have been missed: it is likely more."""
        return float(self.log_z.std()) > APART


@torch.no_grad()
def evidence(
    product: ReverseProcess,
    shape: tuple[int, ...],
    *,
    generator: torch.Generator,
    particles: int = 64,
    groups: int = 8,
    grid: Tensor | None = None,
    threshold: float = 0.5,
    track: Track = SILENT,
) -> Evidence:
    """What the factor is worth under the model, from independent groups of particles of examples of `shape`.

    The error is that of the mean of the groups' estimates, which are unbiased for Z itself. Raises ValueError
    for fewer than two groups.
    """
    if groups < 2:
        raise ValueError(f"groups={groups}: the error of the evidence needs at least two")
    grid, seed = grids.uniform(1000) if grid is None else grid, root(generator)
    sampler = Particles(particles, threshold)
    sampler.check(product)
    clouds, done = [], []
    for group, part in track.over(range(groups)):  # one at a time: a group's draws depend on its number alone
        streams = Streams(seed, "particles", rows=range(group * particles, (group + 1) * particles))
        like = like_of(product, (particles, *shape))
        x_1 = start(product, like, streams)
        walk = reverse(product, x_1, sampler=sampler, grid=grid, generator=streams, track=part)
        x_0, cloud = last(walk)
        done.append(x_0)
        clouds.append(cloud)
    log_z = torch.cat([cloud.log_z for cloud in clouds])
    size = torch.cat([cloud.size for cloud in clouds]).mean() / particles
    return Evidence(*pooled(log_z), float(size), log_z, torch.cat(done))


def pooled(log_z: Tensor) -> tuple[float, float]:
    """log of the mean Z of groups (G,), and its standard error."""
    groups = len(log_z)
    mean = log_z.logsumexp(0) - math.log(groups)
    share = (log_z - mean).exp()
    return float(mean), float(share.std()) / math.sqrt(groups) * student(groups)
