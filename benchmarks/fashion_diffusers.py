"""Trains diffusers' U-Net on Fashion-MNIST for so many minutes, as its training example does, for comparison.

    python benchmarks/fashion_diffusers.py --minutes 12 --out peer
    undiffuse import peer data=fashion-mnist --out runs/peer
    undiffuse evaluate runs/peer --terms 10
    undiffuse distances runs/peer -n 1024 --features fashion.safetensors

UNet2DModel of about the size of ours, DDPMScheduler with T = 1000 and linear rates, the mean squared error of
the noise, AdamW at 1e-4 after 500 steps of warm-up, batches of 64, flips, fp32. The weights are not averaged.
The time is that of training steps alone. Needs pip install '.[test]'.
"""

import argparse
import time
from pathlib import Path

import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from diffusers.optimization import get_cosine_schedule_with_warmup
from torch.nn.functional import mse_loss

from undiffuse.data import FashionMNIST

BATCH, WARMUP = 64, 500


def unet(channels: tuple[int, ...]) -> UNet2DModel:
    """Two levels with attention at the lower one, from 28x28."""
    return UNet2DModel(
        sample_size=28,
        in_channels=1,
        out_channels=1,
        layers_per_block=2,
        block_out_channels=channels,
        down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        norm_num_groups=8,
    )


def train(model: UNet2DModel, scheduler: DDPMScheduler, seconds: float) -> int:
    """Steps until the time is over; the first is not counted in it. Returns their number."""
    torch.manual_seed(0)
    images = FashionMNIST().load().train
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    steps, spent, rates = 0, 0.0, None
    while spent < seconds:
        began = time.perf_counter()
        x_0 = images[torch.randint(len(images), (BATCH,))].float() / 127.5 - 1
        x_0 = torch.where(torch.rand(BATCH, 1, 1, 1) < 0.5, x_0.flip(-1), x_0)
        noise, t = torch.randn_like(x_0), torch.randint(1000, (BATCH,))
        loss = mse_loss(model(scheduler.add_noise(x_0, noise, t), t).sample, noise)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if rates is not None:
            rates.step()
            spent += time.perf_counter() - began
        elif steps == 2:  # warm: how many steps will fit
            planned = int(seconds / (time.perf_counter() - began))
            rates = get_cosine_schedule_with_warmup(optimizer, min(WARMUP, planned // 4), planned)
        steps += 1
        if steps % 50 == 0:
            print(f"step {steps}: loss {loss.item():.4f}, {spent:.0f} s", flush=True)
    return steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=12)
    parser.add_argument("--channels", type=int, nargs=3, default=(32, 64, 128))
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    model, scheduler = unet(tuple(asked.channels)), DDPMScheduler(num_train_timesteps=1000)
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters")
    steps = train(model, scheduler, 60 * asked.minutes)
    DDPMPipeline(model.eval(), scheduler).save_pretrained(asked.out)
    print(f"{steps} steps of {BATCH} -> {asked.out}")


if __name__ == "__main__":
    main()
