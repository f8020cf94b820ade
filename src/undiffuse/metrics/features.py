"""What turns examples into the features that distances compare; weights come from safetensors alone.

    Pixels       the values themselves
    Classifier   the layer before the last of a small network, trained by benchmarks/classifier.py
    Inception    the layer before the last of the network behind FID, if you have its weights

Every extractor takes floats ``(B, *shape)``, images ``(B, C, H, W)`` in [0, 1], and returns ``(B, D)``. Only
Inception's Fréchet distance is called FID: distances of other features have other scales.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as to_bytes
from torch import Tensor, nn
from torch.nn.functional import interpolate

from undiffuse import tensorfile
from undiffuse.ambient import unaided
from undiffuse.files import atomic
from undiffuse.metrics.inception import InceptionV3

KEY = "undiffuse"  # of the metadata
SIDE = 299  # pixels of Inception's input


class Extractor(nn.Module, ABC):
    """A map from examples to features; `title` names it in reports."""

    title: str

    @property
    def distances(self) -> tuple[str, str]:
        """What its Fréchet distance and its kernel distance are called."""
        return f"Fréchet distance, {self.title}", f"kernel distance, {self.title}"

    @abstractmethod
    def check(self, shape: tuple[int, ...]) -> None:
        """Raise ValueError unless it works on examples of this shape."""


class Pixels(Extractor):
    """The values of an example, flattened."""

    def __init__(self, title: str = "pixels") -> None:
        super().__init__()
        self.title = title

    def check(self, shape: tuple[int, ...]) -> None:
        """Any shape will do."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, *shape) -> (B, D)."""
        return x.flatten(1)


class Classifier(Extractor):
    """A convolutional network for images of any size: three halvings, a 4x4 pool, the features, classes.

    Args:
        shape: (C, H, W) of an image.
        classes: number of labels, from 2.
        width: channels of the first halving; the others have twice and four times as many.
        features: D.

    Raises:
        ValueError: sizes below 1, or fewer than 2 classes.
    """

    def __init__(
        self, shape: tuple[int, int, int], classes: int, width: int = 32, features: int = 128
    ) -> None:
        super().__init__()
        self.arguments = {"shape": list(shape), "classes": classes, "width": width, "features": features}
        self.shape = tuple(shape)
        if len(shape) != 3 or min(*shape, width, features, classes - 1) < 1:
            raise ValueError(
                f"{self.arguments}: a classifier is for images (C, H, W) and two classes or more"
            )
        sizes = (shape[0], width, 2 * width, 4 * width)
        stages = [_stage(sizes[i], sizes[i + 1]) for i in range(3)]
        self.body = nn.Sequential(*stages, nn.AdaptiveAvgPool2d(4), nn.Flatten())
        self.neck = nn.Sequential(nn.Linear(64 * width, features), nn.ReLU())
        self.head = nn.Linear(features, classes)
        self.title = "classifier"

    def check(self, shape: tuple[int, ...]) -> None:
        """Raise ValueError unless the images are of its shape."""
        if tuple(shape) != self.shape:
            raise ValueError(
                f"{self.title} is for images {self.shape}, the data have {shape}; train one for them"
            )

    def forward(self, x: Tensor) -> Tensor:
        """Images in [0, 1] (B, C, H, W) -> (B, features), none negative."""
        features: Tensor = self.neck(self.body(2 * x - 1))
        return features

    def logits(self, x: Tensor) -> Tensor:
        """Images in [0, 1] (B, C, H, W) -> (B, classes)."""
        logits: Tensor = self.head(self(x))
        return logits

    def save(self, path: Path) -> None:
        """Weights and constructor arguments as one .safetensors file."""
        tensors = {name: t.detach().cpu().contiguous() for name, t in self.state_dict().items()}
        with atomic(path) as file:
            file.write(to_bytes(tensors, {KEY: json.dumps({"kind": "classifier", **self.arguments})}))


class Inception(Extractor):
    """The 2048 features of FID: images scaled to 299x299 bilinearly, grey ones repeated for three colours.

    Heusel et al. (2017). Libraries that scale images otherwise give slightly other numbers.
    """

    def __init__(self) -> None:
        super().__init__()
        self.network, self.title = InceptionV3(), "Inception"

    @property
    def distances(self) -> tuple[str, str]:
        """FID and KID, their common names."""
        return f"FID, {self.title}", f"KID, {self.title}"

    def check(self, shape: tuple[int, ...]) -> None:
        """Raise ValueError unless these are images, grey or in three colours."""
        if len(shape) != 3 or shape[0] not in (1, 3):
            raise ValueError(f"{self.title} is for images (1 or 3, H, W), the data have {shape}")

    def forward(self, x: Tensor) -> Tensor:
        """Images in [0, 1] (B, C, H, W) -> (B, 2048)."""
        scaled = interpolate(x, (SIDE, SIDE), mode="bilinear", align_corners=False)
        features: Tensor = self.network(2 * scaled.expand(-1, 3, -1, -1) - 1)
        return features


def load_features(path: str | Path) -> Extractor:
    """The extractor in a .safetensors file: a classifier that `save` wrote, or the weights of Inception.

    Those of Inception are the port's pt_inception-2015-12-05. It is a .pth, which may hold code; convert it:
    `safetensors.torch.save_file(torch.load(FILE, weights_only=True), "inception.safetensors")`.

    Raises:
        FileNotFoundError: there is no file.
        ValueError: not a safetensors file, or not one of these two.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; benchmarks/classifier.py writes one")
    with tensorfile.checked(path) as file:
        said = (file.metadata() or {}).get(KEY)
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    made = _empty(path, said, tensors)
    wrong = "its tensors are not those of the network it is for"
    try:
        (made.network if isinstance(made, Inception) else made).load_state_dict(tensors, assign=True)
    except RuntimeError as error:
        raise ValueError(f"{path}: {wrong}: {' '.join(str(error).split())[:200]}") from error
    made.title = f"{made.title} {path.name}"
    return made.float().eval().requires_grad_(False)


@unaided
@torch.no_grad()
def extract(extractor: Extractor, batches: Iterable[Tensor]) -> Tensor:
    """Features ``(N, D)``, float32 on the CPU, of examples that come in batches ``(B, *shape)``."""
    device = next(extractor.parameters(), torch.zeros(())).device
    return torch.cat([extractor(batch.float().to(device)).float().cpu() for batch in batches])


def _empty(path: Path, said: str | None, tensors: dict[str, Tensor]) -> Extractor:
    """The extractor without its weights: what a file claims takes no memory before its tensors fit."""
    with torch.device("meta"):
        if said is None and "Mixed_7c.branch_pool.conv.weight" in tensors:
            return Inception()
        try:
            arguments: dict[str, Any] = json.loads(said or "")
            if arguments.pop("kind") == "classifier":
                return Classifier(**arguments)
        except (ValueError, TypeError, KeyError, AttributeError, RuntimeError) as error:
            raise ValueError(f"{path}: neither a classifier nor the weights of Inception") from error
    raise ValueError(f"{path}: neither a classifier nor the weights of Inception")


def _stage(inputs: int, outputs: int) -> nn.Sequential:
    """Two convolutions; the first halves the size."""
    layers: list[nn.Module] = []
    for size, stride in ((inputs, 2), (outputs, 1)):
        layers += [nn.Conv2d(size, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers)
