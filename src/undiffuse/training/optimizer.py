"""The optimizer, its learning rate, and its state as named tensors."""

import math

import torch
from torch import Tensor, nn

from undiffuse.training.adamw import AdamW
from undiffuse.training.muon import Muon
from undiffuse.training.parallel import placed
from undiffuse.training.precision import Precision
from undiffuse.training.settings import Settings

Optimizer = AdamW | Muon


def optimizer_of(module: nn.Module, settings: Settings, precision: Precision) -> Optimizer:
    """What trains the module's parameters; Muon works in bfloat16 where that is fast."""
    if settings.optimizer == "adamw":
        return adamw(module, settings)
    fast = precision.name == "bf16" and not precision.slow
    return Muon(module, settings, torch.bfloat16 if fast else torch.float32)


def adamw(module: nn.Module, settings: Settings) -> AdamW:
    """AdamW over the module's parameters."""
    return AdamW(module.parameters(), settings.lr, (0.9, settings.beta2), settings.weight_decay)


def learning_rate(step: int, settings: Settings) -> float:
    """The rate of step number `step` (from 0): a linear warm-up, then constant or a cosine to zero."""
    warm = min(1.0, (step + 1) / (settings.warmup + 1))
    if settings.decay == "constant":
        return settings.lr * warm
    return settings.lr * warm * 0.5 * (1 + math.cos(math.pi * step / settings.steps))


def state_of(optimizer: Optimizer, module: nn.Module) -> dict[str, Tensor]:
    """`name/of.parameter` -> tensor for every tensor of the optimizer's state."""
    kept = optimizer.state
    return {
        f"{key}/{name}": value
        for name, parameter in module.named_parameters()
        for key, value in kept[parameter].items()
    }


@torch.no_grad()
def restore(optimizer: Optimizer, module: nn.Module, state: dict[str, Tensor]) -> None:
    """Put back what `state_of` gave. Raises ValueError for another module's state."""
    parameters, kept = dict(module.named_parameters()), optimizer.state
    for parameter in parameters.values():
        kept[parameter].clear()
    for key, value in state.items():
        kind, _, name = key.partition("/")
        if name not in parameters:
            raise ValueError(f"the optimizer's state has {name}, which this model has not")
        parameter = parameters[name]
        if value.shape == parameter.shape:  # fused AdamW reads memory as it lies: channels_last, say
            value = torch.empty_like(parameter, dtype=value.dtype).copy_(placed(value, parameter))
        kept[parameter][kind] = value
