"""What distillation cost and gained: a student of few calls beside its teacher."""

from dataclasses import dataclass

from undiffuse.estimate import Estimate
from undiffuse.metrics import Pixels, extract, frechet
from undiffuse.reports.distances import Contest, contest, drawn, unit_batches
from undiffuse.runs.run import Run
from undiffuse.samplers import DDIM
from undiffuse.track import SILENT, Track

SAMPLES = 500  # drawn of each, and examples whose bits are compared, at most
TERMS = 10  # of the teacher's chain for each, where its recipe names none


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


def contest_of(teacher: Run, seed: int = 0) -> Contest:
    """What both are compared with, by pixels or values. Raises ValueError for too few examples."""
    return contest(teacher, Pixels("pixels" if len(teacher.shape) == 3 else "values"), SAMPLES, seed)


def price_of(student: Run, teacher: Run, fixed: Contest, seed: int = 0, track: Track = SILENT) -> Price:
    """The price, of as many samples as the contest has training examples for at most."""
    held, walks = teacher.replace(chain=student.grid, sampler=DDIM(), walks=None), teacher.walks
    parts, raw = iter(track.split(*[1] * 5)), fixed.test[:SAMPLES]
    if walks is not None and (walks.samples, walks.features) != (SAMPLES, fixed.extractor.title):
        walks = None
    test, training = (
        extract(fixed.extractor, unit_batches(fixed, each, SILENT)) for each in (fixed.test, fixed.training)
    )

    def away(run: Run) -> Estimate:
        samples = drawn(run, SAMPLES, seed, track=next(parts))
        return frechet(extract(fixed.extractor, (fixed.unit_samples(x) for x in samples)), test)

    def bits(run: Run, terms: int | None = None) -> Estimate:
        return run.evaluate(raw, seed, terms=terms, track=next(parts)).total - run.shift

    return Price(
        calls=len(student.grid),
        samples=SAMPLES,
        features=fixed.extractor.title,
        student=away(student),
        same=away(held),
        training=frechet(training, test),
        bound=bits(student),
        same_bound=bits(held),
        chain=bits(teacher, teacher.terms or TERMS),
        whole=None if walks is None else walks.chain.frechet,
    )
