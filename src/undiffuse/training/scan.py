"""What a start does with a run's checkpoints: leftovers go, damaged ones are set aside, a whole one is
loaded.

Never a silent restart: if there were checkpoints and none of them is whole, that is an error.
"""

from pathlib import Path

import torch

from undiffuse import enclosure
from undiffuse.enclosure import LinkError
from undiffuse.files import read_bytes, sweep, write_text
from undiffuse.processes import Processes
from undiffuse.training import checkpoint
from undiffuse.training.checkpoint import Checkpoint, FormatError

REASON = "REASON.txt"
LARGEST = 2**16  # bytes of a reason


def recover(
    root: Path, device: torch.device | str = "cpu", until: int | None = None
) -> tuple[Checkpoint | None, list[str]]:
    """The newest whole checkpoint under `root`, None if there never was one; and why others were set aside.

    `until`: those of later steps are not looked at. Only the writer of a run may call it (`training.lock`).
    A damaged step-N becomes bad-step-N. Raises ValueError if none is whole, FormatError for one of another
    version.
    """
    sweep(root)
    reasons: list[str] = []
    for path in reversed(checkpoint.steps(root)):
        if until is not None and checkpoint.step_of(path) > until:
            continue
        try:
            return checkpoint.load(path, device), reasons
        except (FormatError, LinkError):  # nothing that a crash does
            raise
        except (ValueError, OSError) as error:
            reasons.append(_set_aside(path, error))
    bad = [name for name in enclosure.names(root) if name.startswith("bad-")]
    if bad:
        why = reasons[0] if reasons else (_reason(root / bad[-1]) or "no reason was left")
        raise ValueError(
            f"{root}: none of its checkpoints is whole, and nothing was started over "
            f"({bad[-1]}: {why}); restore one, or train into a new folder"
        )
    return None, reasons


def recover_together(
    processes: Processes, root: Path, device: torch.device | str = "cpu", until: int | None = None
) -> tuple[Checkpoint | None, list[str]]:
    """The same by several processes: the first chooses, all load."""
    own: list[Checkpoint] = []

    def choose() -> tuple[int | None, list[str]]:
        saved, reasons = recover(root, device, until)
        own.extend([] if saved is None else [saved])
        return None if saved is None else saved.step, reasons

    step, reasons = processes.lead(choose)
    if step is not None and not own:
        own.append(checkpoint.load(checkpoint.path_of(root, step), device))
    return own[0] if own else None, reasons


def _set_aside(path: Path, error: Exception) -> str:
    """Rename it, with a line that says why."""
    number, target = 2, f"bad-{path.name}"
    with enclosure.place(path.parent) as here:
        while here.look(target) is not None:
            number, target = number + 1, f"bad-{path.name}-{number}"
        here.rename(path.name, target)
        here.sync()
    reason = " ".join(str(error).split())
    write_text(path.with_name(target) / REASON, f"{reason}\n")
    return reason


def _reason(path: Path) -> str:
    try:
        return read_bytes(path / REASON, LARGEST).decode(errors="replace").strip()[:300]
    except (OSError, ValueError):
        return ""
