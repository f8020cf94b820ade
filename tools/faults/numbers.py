"""NaN and infinity where they can appear (F14): no update, no checkpoint, and the step can be repeated."""

import re

import torch

from tools.faults import child
from tools.faults.subject import Bench, Check
from undiffuse.training import checkpoint, loop
from undiffuse.training.gate import first_bad

PLACES = ("batch", "loss", "gradient", "weights", "optimizer", "average")
KINDS = (float("nan"), float("inf"), float("-inf"))


def nonfinite(bench: Bench) -> Check:
    """One bad number at a place, of a kind, before a step: caught in that step, before the update."""
    check = Check("nonfinite", "bad numbers caught before the update and named, never saved")
    cases = [(place, kind, step) for place in PLACES for kind in KINDS for step in range(1, 11)]
    if not bench.full:
        cases = [(place, bench.choose.choice(KINDS), bench.choose.randrange(1, 11)) for place in PLACES]
    for place, kind, step in cases:
        run = bench.fresh()
        done = bench.train(run, patch=lambda p=place, k=kind, s=step: inject(p, k, s))  # type: ignore[misc]
        said = re.search(r"step (\d+): .*first bad tensor is (\w+)", done.text)
        good = done.code == 1 and said is not None and int(said[1]) == step
        good = good and said[2] == ("none" if place == "loss" else place)
        saved = [checkpoint.load(path) for path in checkpoint.steps(run / "checkpoints")]
        groups = [{name: getattr(each, name) for name in checkpoint.GROUPS} for each in saved]
        good = good and not any(first_bad(each) for each in groups) and f"--replay {step}" in done.text
        check.expect(good, f"{kind} in {place} at step {step}: {done.text[-400:]}")
    skipped = bench.train(bench.fresh(), "train.non_finite=skip", patch=lambda: inject("loss", KINDS[0], 5))
    check.expect(skipped.code == 0, f"skip: {skipped.text[-300:]}")
    again = child.run(bench.folder / "out", "train", "--resume", run, "--replay", step)
    check.expect(again.code == 0 and f"step {step}, from" in again.text, f"replay: {again.text[-300:]}")
    return check


def inject(place: str, kind: float, step: int) -> None:
    """Before the update of a step, make one number bad; in this process."""
    backward = loop._backward

    def bad(parallel: object, x_0: torch.Tensor, *rest: object) -> torch.Tensor:
        state = current[0]
        if state.step != step:
            return backward(parallel, x_0, *rest)  # type: ignore[arg-type]
        groups = state.groups()
        with torch.no_grad():
            if place == "batch":
                x_0.view(-1)[0] = kind
            elif place in groups:
                next(t for n, t in groups[place].items() if t.numel() > 1).view(-1)[0] = kind
        loss = backward(parallel, x_0, *rest)  # type: ignore[arg-type]
        if place == "gradient":
            next(p for p in state.model.parameters() if p.grad is not None).grad.view(-1)[0] = kind  # type: ignore[union-attr]
        return torch.full_like(loss, kind) if place == "loss" else loss

    current: list[loop.State] = []
    init = loop.State.__init__

    def remember(self: loop.State, *arguments: object) -> None:
        init(self, *arguments)  # type: ignore[arg-type]
        current[:] = [self]

    loop.State.__init__ = remember  # type: ignore[method-assign]
    loop._backward = bad  # type: ignore[assignment]
