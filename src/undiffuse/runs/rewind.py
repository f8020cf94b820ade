"""Back to a checkpoint after a loss spike, and on with other batches.

Batches and noise are keyed by a number, step + detour, where detour counts the batches that were left out for
good. Going back from step n to the checkpoint of step a adds n + 1 - a to it, so training goes on with the
batches after the spike, while the learning rate is that of the steps.

Where a run goes back to must not depend on when it was stopped: to the last multiple of
train.checkpoint_every, whose checkpoint is held, not to one that a signal asked for. So nothing has to be
written when it goes back: a process that dies before the next checkpoint leaves one from which the same
losses, the same spike and the same way back follow.
"""

from undiffuse.files import remove
from undiffuse.objectives import Objective
from undiffuse.runs.begin import put_back
from undiffuse.runs.log import Log, record
from undiffuse.runs.run import Run
from undiffuse.training import Settings, SpikeError, State, checkpoint, recover_together


def held(step: int, settings: Settings) -> int | None:
    """The step whose checkpoint must stay, since a spike after `step` would go back to it."""
    return step - step % settings.checkpoint_every if settings.on_spike == "rewind" else None


def rewind(run: Run, state: State, objective: Objective, log: Log, spike: SpikeError) -> int:
    """Go back, and forget what was logged and saved since; returns the step that training is at.

    All processes of the run call it; the first chooses the checkpoint. Raises SpikeError if the run has gone
    back `rewind_limit` times already.
    """
    rewinds, detour, limit = state.rewinds + 1, state.detour, state.settings.rewind_limit
    if rewinds > limit:
        raise spike.because(f"the run has gone back {limit} times already (train.rewind_limit)")
    root, device = run.folder / "checkpoints", next(state.model.parameters()).device
    saved, _ = recover_together(run.processes, root, device, held(spike.step, state.settings))
    if saved is None:  # the rule began in the middle of the run
        saved, _ = recover_together(run.processes, root, device, spike.step)
    assert saved is not None  # one was written before the first step
    put_back(state, saved, objective)
    state.rewinds, state.detour = rewinds, detour + spike.step + 1 - saved.step
    log.back_to(saved.step, saved.state["pending"])
    run.processes.lead(lambda: _forget(run, spike.step + 1, state))
    return saved.step


def _forget(run: Run, step: int, state: State) -> None:
    """Remove the checkpoints of a lost future, and write down that it is lost."""
    for later in checkpoint.steps(run.folder / "checkpoints"):
        if checkpoint.step_of(later) > state.step:
            remove(later)
    record(run.folder, step, "rewind", to=state.step, rewinds=state.rewinds, detour=state.detour)
