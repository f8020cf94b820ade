"""What three processes do together, run by torchrun: `python -m torch.distributed.run .. group.py`."""

import pytest
import torch

from undiffuse.processes import LeaderError, grouped
from undiffuse.signals import Left, Signals

with grouped(torch.device("cpu")) as processes:
    rank, size = processes.rank, processes.size
    assert processes.leads == (rank == 0)
    everyone = processes.gather(torch.tensor(list(processes.part(11))))
    assert everyone.tolist() == list(range(11))
    assert processes.gather(torch.full((rank, 2), rank)).tolist() == [[1, 1], [2, 2], [2, 2]]
    assert processes.total([float(rank), 1.0]) == [3.0, 3.0]
    assert processes.largest(5 - rank) == 5

    did: list[int] = []

    def work(number: int) -> torch.Tensor:
        did.append(number)
        return torch.tensor([number, 10 * number])

    for count in (1, 2, 3, 7):
        found = [t.tolist() for t in processes.spread(work, count)]
        assert found == [[i, 10 * i] for i in range(count)]
        assert len(did) == processes.rounds(count), (count, did)
        did.clear()

    def leave(number: int) -> torch.Tensor:
        did.append(number)
        if number == 4:
            raise Left
        return torch.tensor(number)

    stoppable = processes.stoppable(Signals(patience=5).leaving)
    with pytest.raises(Left):
        for _ in stoppable.spread(leave, 7):
            pass
    assert did == [rank, 3 + rank]  # all of them in the second round
    did.clear()

    told = {"é": [1, None, rank]}
    assert processes.share(told) == {"é": [1, None, 0]}
    assert processes.share("x" * 100_000 if rank == 0 else None) == "x" * 100_000
    asked = []
    assert processes.lead(lambda: asked.append(rank) or 7) == 7
    assert asked == ([0] if rank == 0 else [])

    def fail() -> None:
        raise KeyError("the first")

    with pytest.raises(KeyError if rank == 0 else LeaderError):
        processes.lead(fail)
    processes.meet()
    with pytest.raises(ValueError, match=r"2 rows: 3 processes"):
        processes.part(2)
print(f"rank {rank} of {size} done")
