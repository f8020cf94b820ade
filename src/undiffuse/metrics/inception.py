"""The Inception network behind FID: TensorFlow's graph of 2015-12-05, as its PyTorch port names its weights.

C. Szegedy et al., Rethinking the Inception architecture for computer vision, CVPR 2016. What differs from the
paper, and from torchvision's network, is what that graph does: average pools do not count their padding, the
very last block pools by the maximum, and there are 1008 classes. A path of convolutions is written as a list
of (name, channels, kernel, stride); padding keeps the size if the stride is 1, and is none if it is 2.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, max_pool2d, relu

Kernel = int | tuple[int, int]
Path = list[tuple[str, int, Kernel, int]]
TALL, WIDE = (7, 1), (1, 7)


class Convolution(nn.Module):
    """Convolution, batch normalisation, ReLU."""

    def __init__(
        self, inputs: int, outputs: int, kernel: Kernel, stride: int = 1, padded: bool = True
    ) -> None:
        super().__init__()
        sizes = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (sizes[0] // 2, sizes[1] // 2) if padded else 0
        self.conv = nn.Conv2d(inputs, outputs, sizes, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H', W')."""
        return relu(self.bn(self.conv(x)))


class Mixed(nn.Module):
    """Paths beside each other, their outputs concatenated; the last one is a pool, with a convolution if any.

    A path that splits ends in two convolutions of its last channels, 1x3 and 3x1, named `a` and `b`.
    """

    def __init__(
        self, inputs: int, paths: list[Path], pool: str, pooled: int = 0, split: bool = False
    ) -> None:
        super().__init__()
        self.pool, self.paths = pool, [[f"branch{name}" for name, *_ in path] for path in paths]
        for path in paths:
            channels = inputs
            for name, outputs, kernel, stride in path:
                self.add_module(f"branch{name}", Convolution(channels, outputs, kernel, stride, stride == 1))
                channels = outputs
        splits = ["branch3x3_2", "branch3x3dbl_3"] if split else []
        for name in splits:
            self.add_module(f"{name}a", Convolution(384, 384, (1, 3)))
            self.add_module(f"{name}b", Convolution(384, 384, (3, 1)))
        self.splits = [""] * (len(paths) - len(splits)) + splits
        if pooled:
            self.branch_pool = Convolution(inputs, pooled, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, sum of channels, H', W')."""
        outputs = []
        for path, split in zip(self.paths, self.splits, strict=True):
            h = x
            for name in path:
                h = self.get_submodule(name)(h)
            outputs += [self.get_submodule(split + end)(h) for end in "ab"] if split else [h]
        return torch.cat([*outputs, self._pooled(x)], 1)

    def _pooled(self, x: Tensor) -> Tensor:
        if self.pool == "stride":
            return max_pool2d(x, 3, 2)
        last = self.pool == "max"
        pooled = max_pool2d(x, 3, 1, 1) if last else avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        out: Tensor = self.branch_pool(pooled)
        return out


def _a(inputs: int, pooled: int) -> Mixed:
    double: Path = [("3x3dbl_1", 64, 1, 1), ("3x3dbl_2", 96, 3, 1), ("3x3dbl_3", 96, 3, 1)]
    paths: list[Path] = [[("1x1", 64, 1, 1)], [("5x5_1", 48, 1, 1), ("5x5_2", 64, 5, 1)], double]
    return Mixed(inputs, paths, "mean", pooled)


def _b() -> Mixed:
    double: Path = [("3x3dbl_1", 64, 1, 1), ("3x3dbl_2", 96, 3, 1), ("3x3dbl_3", 96, 3, 2)]
    return Mixed(288, [[("3x3", 384, 3, 2)], double], "stride")


def _c(c: int) -> Mixed:
    single: Path = [("7x7_1", c, 1, 1), ("7x7_2", c, WIDE, 1), ("7x7_3", 192, TALL, 1)]
    kernels: list[Kernel] = [1, TALL, WIDE, TALL, WIDE]
    channels = (c, c, c, c, 192)
    double: Path = [(f"7x7dbl_{i + 1}", channels[i], kernel, 1) for i, kernel in enumerate(kernels)]
    return Mixed(768, [[("1x1", 192, 1, 1)], single, double], "mean", 192)


def _d() -> Mixed:
    kernels: list[tuple[Kernel, int]] = [(1, 1), (WIDE, 1), (TALL, 1), (3, 2)]
    long: Path = [(f"7x7x3_{i + 1}", 192, kernel, stride) for i, (kernel, stride) in enumerate(kernels)]
    return Mixed(768, [[("3x3_1", 192, 1, 1), ("3x3_2", 320, 3, 2)], long], "stride")


def _e(inputs: int, pool: str) -> Mixed:
    double: Path = [("3x3dbl_1", 448, 1, 1), ("3x3dbl_2", 384, 3, 1)]
    return Mixed(inputs, [[("1x1", 320, 1, 1)], [("3x3_1", 384, 1, 1)], double], pool, 192, split=True)


class InceptionV3(nn.Module):
    """(B, 3, 299, 299) in [-1, 1] -> (B, 2048), the mean over the last block's pixels.

    `fc` belongs to the weights' file; features do not go through it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Convolution(3, 32, 3, 2, padded=False)
        self.Conv2d_2a_3x3 = Convolution(32, 32, 3, padded=False)
        self.Conv2d_2b_3x3 = Convolution(32, 64, 3)
        self.Conv2d_3b_1x1 = Convolution(64, 80, 1)
        self.Conv2d_4a_3x3 = Convolution(80, 192, 3, padded=False)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = _a(192, 32), _a(256, 64), _a(288, 64)
        self.Mixed_6a = _b()
        self.Mixed_6b, self.Mixed_6c, self.Mixed_6d, self.Mixed_6e = _c(128), _c(160), _c(160), _c(192)
        self.Mixed_7a, self.Mixed_7b, self.Mixed_7c = _d(), _e(1280, "mean"), _e(2048, "max")
        self.fc = nn.Linear(2048, 1008)

    def forward(self, x: Tensor) -> Tensor:
        """Features of every image."""
        for name, block in self.named_children():
            if name in ("Conv2d_3b_1x1", "Mixed_5b"):
                x = max_pool2d(x, 3, 2)
            if name != "fc":
                x = block(x)
        return x.mean((2, 3))
