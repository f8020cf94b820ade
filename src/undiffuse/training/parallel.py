"""One loss over several processes: each takes its rows of the batch, the gradients are averaged.

Copies of the network on every process (DistributedDataParallel), or its weights split between them
(FSDP2, `fully_shard`). Either way the loss of a process is its rows' sum over the whole batch's size, times
the number of processes, so that the average is the gradient of the batch's mean, however it is divided.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from undiffuse.conditions import Given
from undiffuse.model import Denoiser
from undiffuse.objectives import Objective
from undiffuse.processes import ALONE, Processes
from undiffuse.random import Batch


class Loss(nn.Module):
    """The sum of an objective over rows, as a module's forward pass."""

    def __init__(self, model: Denoiser, objective: Objective) -> None:
        super().__init__()
        self.model, self.objective = model, objective

    def forward(self, x_0: Tensor, given: Given | None, noise: Batch) -> Tensor:
        """Of x_0 (B, *shape), with what they are given."""
        return self.objective(self.model.told(given), x_0, noise).sum()


class Parallel:
    """The loss of a batch's parts; `adding` says which of them is the last, whose gradients are averaged."""

    def __init__(self, model: Denoiser, objective: Objective, processes: Processes = ALONE) -> None:
        self.processes, self.objective = processes, objective
        self._sharded = is_sharded(model)
        self._network = model.network
        self.loss: nn.Module = Loss(model, objective)
        if processes.size > 1 and not self._sharded:
            device = next(model.parameters()).device
            self.loss = nn.parallel.DistributedDataParallel(
                self.loss,
                device_ids=[device] if device.type == "cuda" else None,
                find_unused_parameters=True,  # an objective need not use all of them in every step
            )

    def adding(self, last: bool) -> AbstractContextManager[object]:
        """Inside, gradients are added up in this process alone, unless it is the last part."""
        if self._sharded:
            self._network.set_requires_gradient_sync(last)  # type: ignore[operator]
        elif isinstance(self.loss, nn.parallel.DistributedDataParallel) and not last:
            return self.loss.no_sync()
        return nullcontext()


def check_shard(model: Denoiser, objective: Objective, optimizer: str) -> None:
    """Raise ValueError for what needs whole weights, or calls the network a varying number of times."""
    if optimizer == "muon":
        raise ValueError("train.shard=true: Muon needs whole matrices; use train.optimizer=adamw")
    if not objective.even:
        raise ValueError(
            f"train.shard=true: a {type(objective).__name__.lower()} objective calls the network as often as "
            "its terms need, "
            "the processes have to call it alike; use objective.kind=simple, hybrid or continuous"
        )
    outside = {name for name, _ in model.named_parameters() if not name.startswith("network.")}
    if outside:
        raise ValueError(
            f"train.shard=true: {min(outside)} is learned outside of the network; set it to false"
        )


def shard(model: Denoiser, objective: Objective, device: torch.device, optimizer: str) -> None:
    """Split the network's weights over the processes, block by block, each then moved to the device.

    Raises ValueError as `check_shard` does.
    """
    check_shard(model, objective, optimizer)
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(device.type, (torch.distributed.get_world_size(),))
    lists = [module for module in model.network.modules() if isinstance(module, nn.ModuleList)]
    for block in (block for modules in reversed(lists) for block in modules):
        if any(True for _ in block.parameters()):
            fully_shard(block, mesh=mesh, reshard_after_forward=True)
    fully_shard(model.network, mesh=mesh, reshard_after_forward=True)


def is_sharded(model: Denoiser) -> bool:
    """Whether its weights are split over processes."""
    return any(hasattr(p, "full_tensor") for p in model.parameters())


def local(t: Tensor) -> Tensor:
    """What this process has of a tensor."""
    part: Tensor = t.to_local() if hasattr(t, "to_local") else t
    return part


def whole(t: Tensor, keep: bool = True) -> Tensor:
    """All of a tensor, which all processes have to ask for; a split one on the CPU, or nothing of it."""
    if not hasattr(t, "full_tensor"):
        return t
    every: Tensor = t.full_tensor()
    return every.cpu() if keep else every.new_empty(0, device="cpu")


def placed(t: Tensor, like: Any) -> Tensor:
    """A whole tensor, split as the tensor `like` is."""
    if not hasattr(like, "placements"):
        return t
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(t, like.device_mesh, like.placements, src_data_rank=None)
