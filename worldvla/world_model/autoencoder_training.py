"""Training of the autoencoder on single frames, weighted towards what moves."""

from collections.abc import Sequence

import numpy as np
import torch

from worldvla.config import Autoencoder
from worldvla.training.checkpoint import Checkpointer
from worldvla.training.device import fast_dtype, generator
from worldvla.training.progress import Log
from worldvla.world_model.autoencoder import FrameAutoencoder, encode_all, to_pictures
from worldvla.world_model.optimization import optimize

SALIENT_DIFFERENCE = 24  # of 255 levels, in any channel
PICTURES_FOR_MEDIAN = 256


def train_autoencoder(
    autoencoder: FrameAutoencoder,
    images: np.ndarray,
    tasks: Sequence[str],
    settings: Autoencoder,
    ema_decay: float,
    seed: int,
    checkpointer: Checkpointer,
    log: Log,
) -> None:
    """Minimizes Σ w (|e| + e²) / Σ w + kl_weight · KL in place, then sets the latent statistics.

    `images` are frames uint8 [M, H, W, 3], `tasks` their tasks. e is the reconstruction's error
    in [-1, 1] units; w = 1 + motion_weight where a pixel differs from the median picture of its
    task, else 1. A small object is a handful of pixels: without the weight, leaving it out costs
    next to nothing.
    """
    where = autoencoder.still_picture.device
    dtype = fast_dtype(where)
    frames = torch.from_numpy(images)
    median_of, task = median_pictures(images, tasks)
    still = np.median(images[spread(len(images), PICTURES_FOR_MEDIAN)], axis=0).astype(np.uint8)
    autoencoder.still_picture.copy_(to_pictures(torch.from_numpy(still)[None])[0])

    def loss_at(step: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        random = generator(seed, "autoencoder", step)
        index = torch.randint(len(frames), (settings.batch_size,), generator=random)
        pictures = to_pictures(frames[index].to(where))
        weight = 1 + settings.motion_weight * salient_pixels(frames[index], median_of[task[index]]).to(where)[:, None]
        with torch.autocast(where.type, dtype, enabled=dtype != torch.float32):
            posterior = autoencoder.posterior(pictures)
            noise = torch.randn(posterior.mean.shape, generator=random).to(where)
            decoded = autoencoder.reconstruct(posterior.mean + posterior.std * noise)
        error = decoded - pictures
        reconstruction = (weight * (error.abs() + error**2)).mean() / weight.mean()
        divergence = posterior.kl().float().mean()
        squared = error.detach().square().mean()
        metrics = {"reconstruction": reconstruction.detach(), "psnr_db": 10 * torch.log10(4 / squared)}
        return reconstruction + settings.kl_weight * divergence, metrics

    optimize(
        "autoencoder",
        autoencoder.network,
        loss_at,
        settings.steps,
        settings.learning_rate,
        ema_decay,
        checkpointer,
        log,
    )
    latents = encode_all(autoencoder, images)
    autoencoder.latent_mean.copy_(latents.mean((0, 2, 3))[None, :, None, None])
    autoencoder.latent_std.copy_(latents.std((0, 2, 3))[None, :, None, None].clamp(min=1e-4))


def median_pictures(images: np.ndarray, tasks: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """The median picture of each task, uint8 [K, H, W, 3], and the index int64 [M] of each frame's task among them."""
    names, task = np.unique(np.asarray(tasks), return_inverse=True)
    members = [np.flatnonzero(task == index) for index in range(len(names))]
    medians = [np.median(images[one[spread(len(one), PICTURES_FOR_MEDIAN)]], axis=0) for one in members]
    return torch.from_numpy(np.stack(medians).astype(np.uint8)), torch.from_numpy(task)


def salient_pixels(images: torch.Tensor, medians: torch.Tensor) -> torch.Tensor:
    """bool [B, H, W]: pixels of uint8 [B, H, W, 3] that differ from the median picture of their task."""
    return ((images.short() - medians.short()).abs() > SALIENT_DIFFERENCE).any(-1)


def spread(count: int, most: int) -> np.ndarray:
    """int64 indices of at most `most` of `count` items, evenly spread."""
    return np.linspace(0, count - 1, min(count, most)).astype(np.int64)
