"""Our training step beside a plain loop with the same network and settings: ratios measured in one run.

    python benchmarks/annotated.py

The settings are those of The Annotated Diffusion Model on Fashion-MNIST: its U-Net, T = 200, linear rates
from 1e-4 to 0.02, the Huber loss of the noise, batches of 128, Adam at 1e-3. The plain loop does no more than
that: a table of rates, a draw of times and noise, the loss, a step of Adam; ours is `training.train`
as the recipe fashion-mnist-annotated sets it. Then 64 images are sampled with a DDPM U-Net by our sampler and
by `diffusers.DDPMPipeline`, the same weights and number of steps (needs pip install '.[test]').
"""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor
from torch.nn.functional import smooth_l1_loss

from overhead import compare
from undiffuse import Denoiser
from undiffuse.kernels import Gaussian
from undiffuse.networks import AnnotatedUNet
from undiffuse.objectives import Simple
from undiffuse.parameterizations import Eps
from undiffuse.recipes import Recipe, override, read
from undiffuse.schedules import Linear, grids
from undiffuse.training import State, train

STEPS, SHAPE = 2, (128, 1, 28, 28)


def plain_loop(network: AnnotatedUNet, x_0: Tensor) -> Callable[[], None]:
    """STEPS steps, as one writes them on a single page."""
    betas = torch.linspace(1e-4, 0.02, 200)
    keep = torch.cumprod(1 - betas, 0)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)

    def run() -> None:
        for _ in range(STEPS):
            optimizer.zero_grad()
            t = torch.randint(0, 200, (len(x_0),))
            noise, kept = torch.randn_like(x_0), keep[t].view(-1, 1, 1, 1)
            x_t = kept.sqrt() * x_0 + (1 - kept).sqrt() * noise
            smooth_l1_loss(network(x_t, (t + 1) / 200), noise).backward()
            optimizer.step()

    return run


def our_loop(network: AnnotatedUNet, x_0: Tensor) -> Callable[[], None]:
    """STEPS steps with the recipe's settings."""
    plan = Recipe(override(read("fashion-mnist-annotated"), [f"train.steps={STEPS}"]))
    model = Denoiser(network, Gaussian(Linear(steps=200)), Eps())
    objective = Simple("huber", grid=grids.uniform(200))

    def run() -> None:
        for _ in train(State(model, plan["train"].build()), lambda step: x_0, objective, seed=0):
            pass

    return run


def sampling(folder: Path) -> tuple[Callable[[], None], Callable[[], None]]:
    """64 images in 10 steps by both, from one random DDPM U-Net."""
    from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

    from undiffuse.runs import import_run, load

    unet = UNet2DModel(
        sample_size=28, in_channels=1, out_channels=1, block_out_channels=(32, 64, 64),
        down_block_types=("DownBlock2D",) * 3, up_block_types=("UpBlock2D",) * 3, norm_num_groups=8,
    )  # fmt: skip
    pipeline = DDPMPipeline(unet, DDPMScheduler(num_train_timesteps=1000, clip_sample=False))
    pipeline.set_progress_bar_config(disable=True)
    pipeline.save_pretrained(folder / "theirs")
    run = load(import_run(folder / "theirs", folder / "ours", []).folder)

    def theirs() -> None:
        pipeline(batch_size=64, num_inference_steps=10, output_type="np")

    def ours() -> None:
        run.sample(64, steps=10)

    return ours, theirs


def main() -> None:
    torch.manual_seed(0)
    network, x_0 = AnnotatedUNet(SHAPE[1:]), torch.rand(SHAPE) * 2 - 1
    loops = our_loop(network, x_0), plain_loop(network, x_0)
    compare("training, the notebook's U-Net, 2 steps of 128", *loops, 1.0)
    with TemporaryDirectory() as folder:
        compare("sampling, a DDPM U-Net, 64 images, 10 steps", *sampling(Path(folder)), 1.0)


if __name__ == "__main__":
    main()
