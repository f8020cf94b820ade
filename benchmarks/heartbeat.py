"""Heartbeat samples counted, and what perfect predictions reach on the chain of a trained run.

    undiffuse train heartbeat-fast --out runs/beat
    python benchmarks/heartbeat.py runs/beat

How many of 10,000 samples are one of the true sequences, and how many of each; then the bounds of the run and
of the denoiser that knows the sequences, E[x_0 | x_t] by Bayes: no network with independent bits can beat it.
"""

import sys

import torch
from torch import Tensor, nn

import undiffuse
from undiffuse import bounds
from undiffuse.data import Heartbeat
from undiffuse.kernels import Binomial
from undiffuse.recipes import load_data

SAMPLES, EXAMPLES = 10_000, 4_096


class Perfect(nn.Module):
    """Logits of E[x_0 | x_t] where the data are equally likely patterns (K, D)."""

    def __init__(self, kernel: Binomial, patterns: Tensor) -> None:
        super().__init__()
        self.kernel, self.patterns = kernel, patterns.double()

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        """(B, D), (B,) -> (B, D)."""
        keep = self.kernel.schedule.keep(t.double()).view(-1, 1, 1)
        ones = keep * self.patterns + (1 - keep) * self.kernel.rate
        share = torch.where(x_t[:, None] > 0.5, ones, 1 - ones).log().sum(2).softmax(1)
        return (share @ self.patterns).logit().clamp(-40, 40)


def main(folder: str) -> None:
    run = undiffuse.load(folder)
    source = Heartbeat()
    patterns, data = source.patterns(), load_data(run.recipe).test[:EXAMPLES]
    samples = run.sample(SAMPLES)
    counts = (samples[:, None] == patterns).all(2).sum(0)
    print(f"{int(counts.sum()):,} of {SAMPLES:,} samples are true sequences: {counts.tolist()} of each")
    print(f"the data: {source.entropy_bits:.4f} bits per sequence; bounds, in the same unit:")
    perfect = undiffuse.Denoiser(Perfect(run.model.kernel, patterns), run.model.kernel)
    show("the run", run.evaluate(data))
    show("perfect predictions", bounds.evaluate(perfect, run.space.encode(data), grid=run.grid))


def show(name: str, report: bounds.Report) -> None:
    k, total = report.k_entropies * 20, report.total * 20
    print(f"{name:20s} K by eq. 14 {k}, -log2 p at most {total}")


if __name__ == "__main__":
    main(*sys.argv[1:])
