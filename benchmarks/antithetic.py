"""What mirrored noise would save a bound: the variance of pairs (e, -e) beside that of independent pairs.

    python benchmarks/antithetic.py RUN [--examples 128]

Of a step drawn by its learned share, less the control (what `evaluate --error` averages), and of the
decoder's term, in nats^2 an example. A pair of independent draws is at one time of the chain, or at two.
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor

import undiffuse
from undiffuse import bounds, terms
from undiffuse.bounds import Drawing
from undiffuse.diffusion.bounded import control_of
from undiffuse.random import keyed
from undiffuse.recipes import load_data

DRAWS = 12


@torch.no_grad()
def step(run: undiffuse.Run, drawing: Drawing, x_0: Tensor, j: Tensor, noise: Tensor) -> Tensor:
    """What steps j cost, weighted, less the control, (B,)."""
    s, t = run.grid[j], run.grid[j + 1]
    alpha, sigma = (c.view(-1, *[1] * (x_0.ndim - 1)).to(x_0) for c in run.model.kernel.alpha_sigma(t))
    x_t = alpha * x_0 + sigma * noise
    cost = terms.step_from(run.model, x_0, x_t, s, t)
    return (cost - drawing.slopes[j] * drawing.control.at(x_0, x_t, s, t)) / drawing.shares[j]


@torch.no_grad()
def decoder(run: undiffuse.Run, x_0: Tensor, noise: Tensor) -> Tensor:
    """The last term, (B,)."""
    t = run.grid[0]
    alpha, sigma = (float(c) for c in run.model.kernel.alpha_sigma(t))
    return terms.decode(run.model, x_0, alpha * x_0 + sigma * noise, t)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--examples", type=int, default=128)
    options = parser.parse_args()
    run, generator = undiffuse.load(options.run), keyed(0, "antithetic")
    data, _ = load_data(run.recipe).examples("test", slice(options.examples))
    x_0, how = run.space.encode(data), {"grid": run.grid, "encode": run.space.encode}
    drawing = bounds.plan(run.model, data, error=1.0, control=control_of(run), **how).drawing
    rows: dict[str, list[Tensor]] = {}
    for _ in range(DRAWS):
        i, j = torch.multinomial(drawing.shares, 2 * len(x_0), True, generator=generator).chunk(2)
        e, other = torch.randn(2, *x_0.shape, generator=generator)
        here, last = step(run, drawing, x_0, i, e), decoder(run, x_0, e)
        pairs = {
            "step: two draws": step(run, drawing, x_0, j, other),
            "step: two draws at one time": step(run, drawing, x_0, i, other),
            "step: e and -e at one time": step(run, drawing, x_0, i, -e),
            "decoder: two draws": decoder(run, x_0, other),
            "decoder: e and -e": decoder(run, x_0, -e),
        }
        for name, second in pairs.items():
            rows.setdefault(name, []).append(((here if "step" in name else last) + second) / 2)
    for name, means in rows.items():
        print(f"{name:<30}{float(torch.stack(means).var(0).mean()):>12.4g}")


if __name__ == "__main__":
    main()
