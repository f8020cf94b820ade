"""How large a network would be, known before any of it is in memory."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as modules
from torch.overrides import TorchFunctionMode

from undiffuse.memory import physical
from undiffuse.recipes.parts import Part, RecipeError
from undiffuse.tensorfile import ELEMENTS, TENSORS

FILLS = {"normal_", "uniform_", "trunc_normal_"}
BYTES = 8  # a value, for weights that are read from a file: float32 here and there


class _Undrawn(TorchFunctionMode):
    """Draws nothing: no memory is there to draw into, and PyTorch would take seconds to find that out."""

    def __torch_function__(
        self, function: Callable[..., Any], _: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """The function's result; of one that fills a tensor with random numbers, that tensor."""
        named = kwargs or {}
        if function.__name__ in FILLS:
            return args[0] if args else named["tensor"]
        return function(*args, **named)


def check_size(network: Part, **context: Any) -> None:
    """Build it where nothing has memory; at the first weight too many, raise RecipeError.

    At most `tensorfile.ELEMENTS` values in `tensorfile.TENSORS` tensors, and what the machine can hold.
    """
    memory = physical()
    most = ELEMENTS if memory is None else min(ELEMENTS, memory // BYTES)
    count = values = 0

    def seen(_: nn.Module, name: str, tensor: Tensor | None) -> None:
        nonlocal count, values
        if tensor is not None:
            count, values = count + 1, values + tensor.numel()
        if values > most or count > TENSORS:
            held = "" if memory is None or values <= most else f" in {memory / 1e9:.1f} GB of memory"
            raise RecipeError(
                f"more than {most:,} weights{held}, or more than {TENSORS:,} tensors of them; make it "
                "narrower or less deep"
            )

    parameters = modules.register_module_parameter_registration_hook(seen)
    buffers = modules.register_module_buffer_registration_hook(seen)
    try:
        with torch.random.fork_rng([]), torch.device("meta"), _Undrawn():
            network.build(**context)
    except RuntimeError as error:
        raise RecipeError(f"{network.path}: cannot be built: {error}") from error
    finally:
        parameters.remove()
        buffers.remove()
