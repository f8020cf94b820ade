"""Between two examples: mix their noisy states, and walk back (Ho et al. 2020, section 4.4, figures 8 and 9).

    x_t ~ q(x_t | a),  x_t' ~ q(x_t | b)  with the same noise
    mixed = (1 - lambda) x_t + lambda x_t',   x_0 ~ p(x_0 | mixed)

(the print mixes "x_0" there: a slip.) The same noise matters. With it the mix is alpha_t ((1 - lambda) a +
lambda b) + sigma_t eps, as noisy as the model expects at t; of independent noises half of the variance
would be gone at lambda = 1/2. The noise on the way back is shared as well, so that lambda alone makes the
difference between neighbours, and a point is the same however many others there are.

Symbols cannot be averaged. There every element of the mix is that of x_t' where a uniform number, shared by
all lambda, is below lambda, and else that of x_t. Its law is (1 - lambda) q(x_t | a) + lambda q(x_t | b),
element by element, and from lambda = 0 to 1 each element changes once.

At both ends the mix is a draw of q(x_t | a) and q(x_t | b). Between them it is a state that no example need
lead to, and x_0 is what the model makes of it, a draw of p(x_0 | mixed).

The larger t, the less is left of a and b: from the first latent time lambda = 0 gives a back, at t = 1 it
is a new sample. At t = 0 there is nothing to walk back from: the mix of a and b themselves.
"""

import torch
from torch import Tensor

from undiffuse.ambient import unaided
from undiffuse.devices import onto
from undiffuse.kernels import Kernel
from undiffuse.model import ReverseProcess
from undiffuse.random import Generator, Streams, root, uniform
from undiffuse.samplers.ancestral import Ancestral
from undiffuse.samplers.base import Sampler
from undiffuse.samplers.loop import nearest
from undiffuse.samplers.resuming import sample_from
from undiffuse.schedules import grids
from undiffuse.track import SILENT, Track


@unaided
@torch.no_grad()
def interpolate(
    model: ReverseProcess,
    a: Tensor,
    b: Tensor,
    t: float,
    shares: Tensor,
    *,
    generator: torch.Generator,
    sampler: Sampler | None = None,
    grid: Tensor | None = None,
    block: int | None = None,
    track: Track = SILENT,
) -> Tensor:
    """x_0 at every lambda of `shares` (P,) between examples a and b (B, *shape): (B, P, *shape).

    `t` in [0, 1] is taken to the nearest latent time of the grid (default: 1000 steps), but for t = 0. Pair i
    depends on the generator's state, i and the block size alone. Raises ValueError if a and b differ in
    shape, a share is outside [0, 1], or t is.
    """
    if a.shape != b.shape:
        raise ValueError(f"a is {tuple(a.shape)} and b is {tuple(b.shape)}: give as many, of one shape")
    if shares.ndim != 1 or not bool(((shares >= 0) & (shares <= 1)).all()):
        raise ValueError(f"shares={shares.tolist()}: numbers from 0 (all a) to 1 (all b)")
    seed, pairs = root(generator), range(len(a))
    sampler, grid = sampler or Ancestral(), grids.uniform(1000) if grid is None else grid
    sampler.check(model)

    def streams(name: str) -> Streams:
        return Streams(seed, "interpolate", name, rows=pairs)

    if t:
        t = float(grid[nearest(grid, t)])
        when = torch.tensor(t, dtype=torch.float64)
        a, b = (model.kernel.marginal(x, when).sample(streams("forward")) for x in (a, b))
    mixed = mix(model.kernel, a, b, shares, streams("mix"))
    if not t:
        return mixed
    rows = [i for i in pairs for _ in shares]
    x_0 = sample_from(
        model,
        mixed.flatten(0, 1),
        t,
        key=(seed, "interpolate", "back"),
        rows=rows,
        sampler=sampler,
        grid=grid,
        block=block,
        track=track,
    )
    return x_0.view(mixed.shape)


def mix(kernel: Kernel, x: Tensor, y: Tensor, shares: Tensor, generator: Generator) -> Tensor:
    """States from x to y (B, *shape), a share lambda of y each: (B, P, *shape)."""
    share = onto(shares, x).view(-1, *[1] * (x.ndim - 1))
    if kernel.symbols is None:
        return (1 - share) * x[:, None] + share * y[:, None]
    u = uniform(tuple(x.shape), generator, x.dtype, x.device)
    return torch.where(u[:, None] < share, y[:, None], x[:, None])
