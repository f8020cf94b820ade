"""Whether this machine rounds as the one that wrote a checkpoint; its number of threads is taken over.

With another number of processes sums are taken in another order: then the threads stay as they are.
"""

import torch

from undiffuse.training import canary
from undiffuse.training.checkpoint import Checkpoint
from undiffuse.training.fingerprint import fingerprint


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
