"""How wide a network fits the data, from the number of examples and of their values.

Wide where there is much to learn from, narrow and with dropout where there is little; what is best of all
depends on the data, so that these are only where a recipe that leaves them open begins.
"""

import math

MOST_UNITS, MOST_CHANNELS = 1024, 64


def fitting_width(examples: int, values: int) -> int:
    """Hidden units of an MLP: sqrt(examples values) as a power of two, 64 to 1024."""
    return min(MOST_UNITS, max(64, _power(math.sqrt(examples * values))))


def fitting_channels(examples: int, values: int) -> int:
    """Channels of a U-Net at full resolution: sqrt(examples values) / 100 as a power of two, 16 to 64."""
    return min(MOST_CHANNELS, max(16, _power(math.sqrt(examples * values) / 100)))


def fitting_multipliers(side: int) -> tuple[int, ...]:
    """Levels of a U-Net for images whose shorter side has so many pixels.

    They halve it until it has fewer than 16, four times at most, and are twice as wide from the second on.
    """
    halvings = min(max(side // 8, 1).bit_length() - 1, 4)
    return (1, *[2] * halvings)


def fitting_dropout(examples: int) -> float:
    """The fewer examples the more: 0.2 below 2,000, 0.1 below 20,000."""
    return 0.2 if examples < 2_000 else 0.1 if examples < 20_000 else 0.0


def _power(number: float) -> int:
    """The nearest power of two, of the exponents."""
    return int(2 ** round(math.log2(max(number, 1))))
