"""Seconds a training step of the CPU's recipes: alone, beside a busy core, and as on a CPU without bf16.

python benchmarks/ordinary_cpu.py [RECIPE ...]

Each is a new process that chooses its precision and threads as `undiffuse train` does, on random data of the
recipe's shape, and takes the median of at least 5 steps after 3. The optimizer's part of a step is timed
apart. "As AVX2" hides newer instructions from PyTorch, oneDNN and MKL.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from undiffuse.cli.threads import prepare
from undiffuse.processors import Moment

SHAPES = {
    "digits": ((1, 8, 8), 17),
    "fashion-mnist": ((1, 28, 28), 256),
    "mnist-fast": ((1, 28, 28), 256),
    "textures-fast": ((1, 16, 16), None),
    "swiss-roll": ((2,), None),
    "heartbeat-fast": ((20,), 2),
}
ORDINARY = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
}
SECONDS = 15.0


def main() -> None:
    for recipe in sys.argv[1:] or SHAPES:
        for place, settings in (("this CPU", {}), ("as AVX2", ORDINARY)):
            alone = measured(recipe, settings)
            with busy_core():
                beside = measured(recipe, settings)
            steps, step = alone["steps"], alone["step"]
            print(
                f"{recipe}, {place}: {alone['precision']}, {alone['threads']} threads, {step:.4g} s a step, "
                f"of it {100 * alone['optimizer'] / step:.1f} % the optimizer; {steps:,} steps in "
                f"{steps * step / 60:.1f} min; beside a busy core {beside['threads']} threads, "
                f"{beside['step']:.4g} s, {beside['step'] / step:.2f} times as long",
                flush=True,
            )


def measured(recipe: str, settings: dict[str, str]) -> dict:
    """By a process of its own, whose environment decides."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_"))}
    command = [sys.executable, __file__, "--one", recipe]
    ran = subprocess.run(command, env=kept | settings, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(ran.stdout)


@contextmanager
def busy_core() -> Iterator[None]:
    """A process that keeps one core busy, wherever the system puts it."""
    other = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        other.kill()
        other.wait()


def one(recipe: str) -> None:
    """Train for some seconds; print what was measured, as JSON."""
    prepare(Moment(), ["train"])
    import torch

    from undiffuse.random import keyed, normal
    from undiffuse.recipes import read
    from undiffuse.recipes.recipe import Recipe
    from undiffuse.training import State, train

    plan, (shape, levels) = Recipe(read(recipe)), SHAPES[recipe]
    settings, model = plan["train"].build(), plan.denoiser(shape, levels)
    x_0 = normal((settings.batch, *shape), keyed("x_0"), torch.float32, torch.device("cpu")).clamp(-1, 1)
    if model.kernel.symbols:
        x_0 = (x_0 > 0).float()
    state, spent, times = State(model, settings), [], []
    update = state.optimizer.step

    def timed() -> None:
        begin = time.perf_counter()
        update()
        spent.append(time.perf_counter() - begin)

    state.optimizer.step = timed
    for progress in train(state, lambda number: x_0, plan.objective(model.kernel), 0):
        times.append(progress.seconds)
        if sum(times[3:]) > SECONDS and len(times) >= 8:
            break
    found = {"precision": state.precision.name, "threads": torch.get_num_threads(), "steps": settings.steps}
    found |= {"step": statistics.median(times[3:]), "optimizer": statistics.median(spent[3:])}
    print(json.dumps(found))


if __name__ == "__main__":
    one(sys.argv[2]) if sys.argv[1:2] == ["--one"] else main()
