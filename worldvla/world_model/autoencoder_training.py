"""Training of the autoencoder on single frames, weighted towards what moves."""

import numpy as np
import torch

from worldvla.config import Autoencoder
from worldvla.episodes.frame_bank import FrameBank
from worldvla.training.checkpoint import Checkpointer
from worldvla.training.device import fast_dtype, generator
from worldvla.training.progress import Log
from worldvla.world_model.autoencoder import FrameAutoencoder, encode_all, to_pictures
from worldvla.world_model.optimization import optimize

SALIENT_DIFFERENCE = 24  # of 255 levels, in any channel
PICTURES_FOR_MEDIAN = 256


def train_autoencoder(
    autoencoder: FrameAutoencoder,
    bank: FrameBank,
    settings: Autoencoder,
    ema_decay: float,
    seed: int,
    checkpointer: Checkpointer,
    log: Log,
) -> None:
    """Minimizes Σ w (|e| + e²) / Σ w + kl_weight · KL in place, then sets the latent statistics.

    e is the reconstruction's error in [-1, 1] units; w = 1 + motion_weight where a pixel
    differs from the median picture of its task, else 1. A small object is a handful of
    pixels: without the weight, leaving it out costs next to nothing.
    """
    where = autoencoder.still_picture.device
    dtype = fast_dtype(where)
    images = torch.from_numpy(bank.images)
    salient = torch.from_numpy(salient_pixels(bank))
    still = np.median(bank.images[_spread(bank.frame_count)], axis=0).astype(np.uint8)
    autoencoder.still_picture.copy_(to_pictures(torch.from_numpy(still)[None])[0])

    def loss_at(step: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        random = generator(seed, "autoencoder", step)
        index = torch.randint(bank.frame_count, (settings.batch_size,), generator=random)
        pictures = to_pictures(images[index].to(where))
        weight = 1 + settings.motion_weight * salient[index].to(where)[:, None].float()
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
    latents = encode_all(autoencoder, bank.images, dtype)
    autoencoder.latent_mean.copy_(latents.mean((0, 2, 3))[None, :, None, None])
    autoencoder.latent_std.copy_(latents.std((0, 2, 3))[None, :, None, None].clamp(min=1e-4))


def salient_pixels(bank: FrameBank) -> np.ndarray:
    """bool [N, H, W]: pixels that differ from the median picture of the frame's task."""
    salient = np.zeros(bank.images.shape[:3], dtype=bool)
    task_of_frame = np.asarray(bank.tasks)[bank.episode_of_frame()]
    for task in sorted(set(bank.tasks)):
        frames = np.flatnonzero(task_of_frame == task)
        median = np.median(bank.images[frames[_spread(len(frames))]], axis=0).astype(np.int16)
        for batch in np.array_split(frames, max(1, len(frames) // 512)):
            salient[batch] = (np.abs(bank.images[batch].astype(np.int16) - median) > SALIENT_DIFFERENCE).any(-1)
    return salient


def _spread(count: int) -> np.ndarray:
    """Indices of at most PICTURES_FOR_MEDIAN of `count` items, evenly spread."""
    return np.linspace(0, count - 1, min(count, PICTURES_FOR_MEDIAN)).astype(np.int64)
