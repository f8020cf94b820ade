"""A network of the user's own, which a recipe can name but not make."""

from typing import NoReturn


def own(name: str) -> NoReturn:
    """Raise ValueError: a recipe holds no code, so whoever uses the run gives the module itself.

    `name` is that of its class, to recognise it by.
    """
    raise ValueError(
        f"{name} is not part of this package, and a run's files name no code; give the module in "
        f"Python: undiffuse.load(RUN, network={name}(..))"
    )
