"""What distillation cost and gained: a student of few calls beside its teacher."""

from dataclasses import dataclass
from typing import Any

from undiffuse.estimate import Estimate
from undiffuse.metrics import Pixels, extract, frechet
from undiffuse.reports.distances import contest, drawn, unit_batches
from undiffuse.runs.run import Run
from undiffuse.samplers import DDIM
from undiffuse.track import SILENT, Track

SAMPLES = 500  # drawn of each, and examples whose bits are compared, at most


@dataclass(frozen=True)
class Price:
    """Fréchet distances from held-out data, and bounds in bits/dim, of the student and of its teacher.

    `same` is of the teacher walked at the student's times, by DDIM; `whole` of its own chain, where that was
    measured with as many samples (`undiffuse solvers`), and `chain` that one's bound, a few terms an example.
    """

    calls: int
    samples: int
    features: str
    student: Estimate
    same: Estimate
    training: Estimate
    bound: Estimate
    same_bound: Estimate
    chain: Estimate
    whole: Estimate | None = None

    def rows(self) -> list[tuple[str, Estimate, Estimate]]:
        """Name, distance and bound, a line of a table each."""
        return [
            (f"student, {self.calls} calls", self.student, self.bound),
            (f"teacher, the same {self.calls} times", self.same, self.same_bound),
        ]


def price_of(
    student: Run, teacher: Run, samples: int = SAMPLES, seed: int = 0, track: Track = SILENT
) -> Price:
    """The price, by pixels or values. Raises ValueError for fewer test examples than distances need."""
    kind = "pixels" if len(student.shape) == 3 else "values"
    fixed = contest(student, Pixels(kind), samples, seed)
    held = teacher.replace(chain=student.grid, sampler=DDIM(), walks=None)
    test, training = (
        extract(fixed.extractor, unit_batches(fixed, raw, SILENT)) for raw in (fixed.test, fixed.training)
    )
    parts = track.split(1, 1, 2)

    def away(run: Run, part: Track) -> Estimate:
        raw = drawn(run, samples, seed, track=part)
        return frechet(extract(fixed.extractor, (fixed.unit_samples(x) for x in raw)), test)

    raw, walks = fixed.test[:samples], teacher.walks
    if walks is not None and (walks.samples, walks.features) != (samples, fixed.extractor.title):
        walks = None

    def bits(run: Run, terms: int | None) -> Estimate:
        how: dict[str, Any] = {"terms": terms}
        return run.evaluate(raw, seed, **how).total - run.shift

    return Price(
        calls=len(student.grid),
        samples=samples,
        features=fixed.extractor.title,
        student=away(student, parts[0]),
        same=away(held, parts[1]),
        training=frechet(training, test),
        bound=bits(student, None),
        same_bound=bits(held, None),
        chain=bits(teacher, teacher.terms or 10),
        whole=None if walks is None else walks.chain.frechet,
    )
