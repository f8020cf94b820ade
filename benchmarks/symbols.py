"""Five sets of bits or symbols, held-out, beside independent positions, mixtures, and chains of order 2.

pip install scikit-learn scikit-image statsmodels
python benchmarks/symbols.py FOLDER [--sets digits text ...] [--steps 6000]

Every fifth example, of a shuffle of seed 0 (of a texture the upper fifth), is for testing. A mixture has 1 to
100 components, each with probabilities of its own at every place; a chain of order 2 knows the two symbols
before, counted at each place or at all, whichever does better, drawn to shorter contexts. Both are chosen by
a tenth of the training examples. Bits are per element; the last column is ours less the best, by example.
"""

import argparse
import dis
import math
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import one_hot

from trained import steps_of, trained
from undiffuse.random import keyed

Symbols = NDArray[np.uint8]
COMPONENTS, SMOOTHING = (1, 2, 5, 10, 20, 50, 100), (0.1, 1.0, 10.0, 100.0)


def digits() -> Symbols:
    """8x8 digits, a pixel is one above the middle of its 17 levels."""
    from sklearn.datasets import load_digits

    return (load_digits().data > 8).astype(np.uint8)


def texture() -> Symbols:
    """Patches of 8x8 of a photograph of bricks, one above its median."""
    from skimage.data import brick

    bits = brick() > np.median(brick())
    return bits.reshape(64, 8, 64, 8).swapaxes(1, 2).reshape(-1, 64).astype(np.uint8)


def text() -> Symbols:
    """Windows of 12 letters or spaces of the Python manual, as numbers 0 to 26."""
    from pydoc_data.topics import topics

    letters = re.sub("[^a-z]+", " ", " ".join(topics.values()).lower()).encode()
    numbers = np.frombuffer(letters, np.uint8)
    return (
        np.where(numbers == 32, 0, numbers - 96).astype(np.uint8)[: len(numbers) // 12 * 12].reshape(-1, 12)
    )


def survey() -> Symbols:
    """Answers of 6,366 women (statsmodels' fair), each as one bit of as many as it has values."""
    from statsmodels.datasets import fair

    table = fair.load_pandas().data.drop(columns="affairs").to_numpy()
    return np.concatenate([c[:, None] == np.unique(c) for c in table.T], 1).astype(np.uint8)


def opcodes() -> Symbols:
    """Windows of 10 instructions of the standard library's functions, the 31 commonest and the others."""

    def codes(code: CodeType) -> Iterator[list[int]]:
        yield [each.opcode for each in dis.get_instructions(code)]
        for inner in code.co_consts:
            if isinstance(inner, CodeType):
                yield from codes(inner)

    files = sorted(Path(argparse.__file__).parent.glob("*.py"))
    runs = [run for file in files for run in codes(compile(file.read_bytes(), str(file), "exec"))]
    common = np.bincount(np.concatenate(runs)).argsort()[::-1][:31]
    number = np.full(256, 31, np.uint8)
    number[common] = np.arange(31)
    windows = [number[run[: len(run) // 10 * 10]].reshape(-1, 10) for run in runs if len(run) >= 10]
    return np.concatenate(windows)[:40_000]


SETS: dict[str, Callable[[], Symbols]] = {
    "digits": digits,
    "texture": texture,
    "text": text,
    "survey": survey,
    "opcodes": opcodes,
}


def mixture(train: Tensor, test: Tensor, count: int, rounds: int = 50) -> Tensor:
    """log p of the test examples (N, D, K, one-hot) by a mixture of independent symbols."""
    share = torch.rand(len(train), count, generator=keyed("mixture", count)).softmax(1)
    common = train.mean(0)
    for _ in range(rounds):
        size = share.sum(0)
        probs = (torch.einsum("nc,ndk->cdk", share, train) + common) / (size + 1)[:, None, None]
        logs, weights = probs.clamp(min=1e-6).log(), (size / size.sum()).clamp(min=1e-9).log()
        share = (torch.einsum("ndk,cdk->nc", train, logs) + weights).softmax(1)
    return (torch.einsum("ndk,cdk->nc", test, logs) + weights).logsumexp(1)


def chain(train: Tensor, test: Tensor, kinds: int, prior: float, *, everywhere: bool) -> Tensor:
    """log p of the test examples (N, D) by a chain of order 2."""
    total = torch.zeros(len(test))
    for i in range(train.shape[1]):
        places = range(2, train.shape[1]) if everywhere and i >= 2 else [i]
        own = torch.cat([train[:, j] for j in places])
        probs = torch.full((1, kinds), 1 / kinds)
        context = torch.zeros(len(test), dtype=torch.long)
        seen = torch.zeros(len(own), dtype=torch.long)
        for back in range(min(i, 2) + 1):
            if back:
                seen = seen + kinds ** (back - 1) * torch.cat([train[:, j - back] for j in places])
                context = context + kinds ** (back - 1) * test[:, i - back]
            counts = torch.bincount(seen * kinds + own, minlength=kinds ** (back + 1)).view(-1, kinds)
            shorter = probs.repeat(kinds if back else 1, 1)
            probs = (counts + prior * shorter) / (counts.sum(1, keepdim=True) + prior)
        total = total + probs[context, test[:, i]].log()
    return total


def best(train: Tensor, test: Tensor, kinds: int) -> dict[str, Tensor]:
    """log p of the test examples by the best of each kind."""
    tenth = len(train) // 10
    hot = [one_hot(part, kinds).float() for part in (train[tenth:], train[:tenth], train, test)]
    size = max(COMPONENTS, key=lambda count: float(mixture(hot[0], hot[1], count).mean()))
    ways = [(p, e) for p in SMOOTHING for e in (False, True)]
    prior, everywhere = max(
        ways,
        key=lambda way: float(chain(train[tenth:], train[:tenth], kinds, way[0], everywhere=way[1]).mean()),
    )
    return {
        "independent": mixture(hot[2], hot[3], 1),
        f"mixture {size}": mixture(hot[2], hot[3], size),
        "chain": chain(train, test, kinds, prior, everywhere=everywhere),
    }


def main() -> None:
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--steps", type=int, default=6000)
    arguments = parser.parse_args()
    print(f"{'set':9}{'rows':>7}{'cols':>5}{'kinds':>6}{'independent':>13}{'mixture':>17}", end="")
    print(f"{'chain':>9}{'ours':>9}{'less':>9}{'s.e.':>8}  minutes  best step of all")
    for name in arguments.sets:
        x = torch.from_numpy(SETS[name]()).long()
        if name != "texture":
            x = x[torch.randperm(len(x), generator=keyed("split"))]
        held, kinds, scale = len(x) // 5, int(x.max()) + 1, -1 / (x.shape[1] * math.log(2))
        test, train = x[:held], x[held:]
        others = {key: log_p * scale for key, log_p in best(train, test, kinds).items()}
        changes = [f"data.levels={kinds}", f"train.steps={arguments.steps}"]
        changes += [f"kernel.symbols={kinds}"] if kinds > 2 else []
        recipe, parts = "symbols" if kinds > 2 else "bits", (train.byte().numpy(), test.byte().numpy())
        run, minutes = trained(recipe, arguments.folder / name, *parts, *changes)
        bits = run.bits(test.byte(), terms=100)
        rival = min(others.values(), key=lambda each: float(each.mean()))
        less = bits - rival
        independent, mixed, chained = (float(each.mean()) for each in others.values())
        kind = list(others)[1]
        print(
            f"{name:9}{len(x):7,}{x.shape[1]:5}{kinds:6}{independent:13.4f}{mixed:8.4f} {kind[8:]:>8}"
            f"{chained:9.4f}{bits.mean():9.4f}{less.mean():+9.4f}{less.std() / math.sqrt(len(less)):8.4f}"
            f"{minutes:9.1f}  {steps_of(run)}",
            flush=True,
        )


if __name__ == "__main__":
    main()
