"""Whether this machine rounds as the one that wrote a checkpoint; its number of threads is taken over.

With another number of processes sums are taken in another order: then the threads stay as they are. The
precision stays too, unless this machine makes another one clearly faster.
"""

import torch
from torch import nn

from undiffuse.processes import Processes
from undiffuse.training import Precision, canary, precision_of
from undiffuse.training.checkpoint import Checkpoint
from undiffuse.training.fingerprint import fingerprint

MOST = 1024  # threads


def same_rounding(
    saved: Checkpoint, device: torch.device | str, exact: bool, processes: int = 1
) -> list[str]:
    """Set the checkpoint's number of threads; a warning if the canary sings differently all the same.

    Raises ValueError instead if `exact`.
    """
    then = saved.origin.get("numerics")
    if then is None:
        return []
    alike = then["processes"] == processes
    if not 1 <= then["threads"] <= MOST:
        raise ValueError(f"step {saved.step:,}: damaged, its checkpoint asks for {then['threads']} threads")
    if alike and torch.get_num_threads() != then["threads"]:
        torch.set_num_threads(then["threads"])
    if alike and canary(device) == then["canary"]:
        return []
    now = fingerprint(device, processes)
    other = [f"{key} {now[key]}, was {then[key]}" for key in now if key != "canary" and now[key] != then[key]]
    text = (
        f"from step {saved.step:,} on not bit for bit what it would have been: this machine rounds otherwise"
    )
    if exact:
        raise ValueError(f"--exact: {text} ({', '.join(other) or 'flags'})")
    return [f"{text} ({', '.join(other) or 'flags of oneDNN or MKL'})"]


def same_precision(
    name: str,
    network: nn.Module,
    device: torch.device | str,
    saved: Checkpoint | None,
    processes: Processes,
    exact: bool,
) -> tuple[Precision, list[str]]:
    """What to train in, as the first process finds; warnings if it is slow, or not what it was before.

    Raises ValueError instead of the latter if `exact`.
    """
    before = None if saved is None else saved.state["precision"]

    def decide() -> tuple[str, str, bool]:
        found = precision_of(name, network, device, before)
        return found.name, found.why, found.slow

    found = Precision(*processes.lead(decide))
    warnings = [f"{found}; train.precision=auto measures, and chooses"] if found.slow else []
    if before not in (None, found.name):
        assert saved is not None
        warnings.append(f"from step {saved.step:,} on in {found.name}, before in {before}: {found.why}")
        if exact:
            raise ValueError(f"--exact: {warnings[-1]}; train on the machine where the run began")
    return found, warnings
