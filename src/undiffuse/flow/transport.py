"""The probability flow of a Gaussian chain: a map from data to noise and back, as far as a solver follows it.

    dx / dlambda = -alpha^2 x + alpha E[x_0 | x],    lambda = log(alpha / sigma)

(Song et al. 2021, eq. 13). It is walked on a fixed grid by a `samplers.Exponential` without noise, so that
where a row goes does not depend on the others.
"""

from itertools import pairwise

import torch
from torch import Tensor

from undiffuse.ambient import unaided
from undiffuse.kernels import Gaussian
from undiffuse.model import ReverseProcess
from undiffuse.samplers import Exponential, Sampler, UniPC
from undiffuse.track import SILENT, Track


@unaided
@torch.no_grad()
def transport(
    model: ReverseProcess, x: Tensor, times: Tensor, solver: Exponential | None = None, track: Track = SILENT
) -> Tensor:
    """x (B, *shape) carried along the flow from times[0] through all of them, in either direction.

    From t_1 to 1 that makes the latent of data, and back again the data of a latent. A call a time, the last
    one included. Raises ValueError for a model or solver without a flow.
    """
    solver = solver or UniPC(4)
    check_flow(model, solver)
    return carried(model, x, times, solver, track)


def check_flow(model: ReverseProcess, solver: Sampler | None = None) -> None:
    """Raise ValueError for a model of symbols, which has no flow, and for a solver with noise."""
    if not isinstance(model.kernel, Gaussian):
        kind = type(model.kernel).__name__
        raise ValueError(f"a {kind} kernel is of symbols, between which nothing flows: use the bound (bits)")
    if solver is None:
        return
    if not isinstance(solver, Exponential) or not solver.deterministic:
        raise ValueError(f"{type(solver).__name__}: a flow has no noise; use unipc, or another with tau=0")
    solver.check(model)


def carried(model: ReverseProcess, x: Tensor, times: Tensor, solver: Exponential, track: Track) -> Tensor:
    """The same with gradients, of what was checked."""
    state, none = solver.init(), torch.Generator()
    for t, s in track.each(list(pairwise(times))):
        x, state = solver.step(model, x, t, s, state, none)
    return solver.arrive(model, x, times[-1], state)[0]
