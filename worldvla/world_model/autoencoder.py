"""Frames to latents and back: diffusers' image autoencoder behind a pixel fold.

Pixels are first folded into channels (patch x patch, `pixel_unshuffle`), so that no
convolution runs at full resolution: on a processor that level costs more than all others.
The median picture of the training frames is taken off before and added after, so that the
network spends itself on what differs between frames.
"""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import nn

from worldvla.episodes.frame_bank import FrameBank
from worldvla.lake.digests import digest
from worldvla.training import weights
from worldvla.training.device import fast_dtype

NORM_GROUPS = 8
INITIAL_LOG_VARIANCE = -6.0
EPISODE_BATCH = 64  # frames of an episode encoded at once


class FrameAutoencoder(nn.Module):
    """uint8 pictures [B, H, W, 3] to normalized latents float32 [B, C, h, w] and back; h = H / (patch 2^(levels-1)).

    `config` is all that is needed to build it again: `image_size`, `patch`, `latent_channels`, `channels` and
    `layers_per_block`; trained, it has the `digest` that its latents are found by, too.

    Buffers: `still_picture` [3, H, W] in [-1, 1]; `latent_mean`, `latent_std` [1, C, 1, 1],
    set once after training.
    """

    def __init__(self, config: dict[str, Any]):
        super().__init__()
        self.config = config
        self.image_size: int = config["image_size"]
        self.patch: int = config["patch"]
        image_size, patch, channels = self.image_size, self.patch, config["channels"]
        latent_channels = config["latent_channels"]
        self.latent_size = image_size // (patch * 2 ** (len(channels) - 1))
        levels = len(channels)
        self.network = AutoencoderKL(
            in_channels=3 * patch**2,
            out_channels=3 * patch**2,
            down_block_types=("DownEncoderBlock2D",) * levels,
            up_block_types=("UpDecoderBlock2D",) * levels,
            block_out_channels=tuple(channels),
            layers_per_block=config["layers_per_block"],
            latent_channels=latent_channels,
            norm_num_groups=NORM_GROUPS,
            sample_size=image_size // patch,
            mid_block_add_attention=False,
        )
        # Posterior noise starts small: at its usual 1 it drowns the latents until they have outgrown it.
        nn.init.constant_(self.network.quant_conv.bias[latent_channels:], INITIAL_LOG_VARIANCE)
        self.register_buffer("still_picture", torch.zeros(3, image_size, image_size))
        self.register_buffer("latent_mean", torch.zeros(1, latent_channels, 1, 1))
        self.register_buffer("latent_std", torch.ones(1, latent_channels, 1, 1))

    def posterior(self, pictures: torch.Tensor):
        """The diffusers posterior of pictures float32 [B, 3, H, W] in [-1, 1]; not normalized."""
        folded = F.pixel_unshuffle(pictures - self.still_picture, self.patch)
        return self.network.encode(folded.contiguous(memory_format=torch.channels_last)).latent_dist

    def reconstruct(self, latents: torch.Tensor) -> torch.Tensor:
        """Latents [B, C, h, w], not normalized, to pictures [B, 3, H, W] in about [-1, 1]."""
        folded = self.network.decode(latents.contiguous(memory_format=torch.channels_last)).sample
        return F.pixel_shuffle(folded.float(), self.patch) + self.still_picture

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 [B, H, W, 3] to normalized latents float32 [B, C, h, w]: the posterior's mean, no noise."""
        return (self.posterior(to_pictures(images)).mode().float() - self.latent_mean) / self.latent_std

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Normalized latents [B, C, h, w] to uint8 [B, H, W, 3]."""
        pictures = self.reconstruct(latents * self.latent_std + self.latent_mean)
        return ((pictures + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)

    def to_bytes(self) -> bytes:
        """All weights and buffers as safetensors."""
        return weights.to_bytes(self.state_dict())

    @classmethod
    def from_bytes(cls, config: dict[str, Any], data: bytes) -> "FrameAutoencoder":
        """The autoencoder that `to_bytes` wrote; raises `UserError` when weights and configuration disagree."""
        return weights.build(cls, config, data)


def to_pictures(images: torch.Tensor) -> torch.Tensor:
    """uint8 [B, H, W, 3] to float32 [B, 3, H, W] in [-1, 1]."""
    return images.permute(0, 3, 1, 2).float() / 127.5 - 1


def encode_all(autoencoder: FrameAutoencoder, images: np.ndarray, batch: int = 256) -> torch.Tensor:
    """Every frame's normalized latents, float32 [N, C, h, w] on the autoencoder's device."""
    where = autoencoder.still_picture.device
    dtype = fast_dtype(where)
    with torch.inference_mode(), torch.autocast(where.type, dtype, enabled=dtype != torch.float32):
        parts = [
            autoencoder.encode(torch.from_numpy(images[begin : begin + batch]).to(where))
            for begin in range(0, len(images), batch)
        ]
    return torch.cat(parts).clone()


def episode_latents(autoencoder: FrameAutoencoder, images: np.ndarray) -> np.ndarray:
    """Normalized latents float16 [T + 1, C, h, w] of one episode's frames uint8 [T + 1, H, W, 3].

    What a kernel rounds depends on the size of its batch: no frames of other episodes are in it,
    so an episode's latents are the same whichever episodes are encoded with it.
    """
    latents = encode_all(autoencoder, images, EPISODE_BATCH).half().cpu()
    # Sums over equal numbers in another order of memory differ in their last bit.
    return latents.contiguous(memory_format=torch.contiguous_format).numpy()


def bank_latents(autoencoder: FrameAutoencoder, bank: FrameBank) -> np.ndarray:
    """Normalized latents float16 [N, C, h, w] of a bank with images at the autoencoder's size."""
    return np.concatenate(
        [episode_latents(autoencoder, bank.images[bank.frames_of(index)]) for index in range(len(bank))]
    )


def autoencoder_digest(autoencoder: FrameAutoencoder) -> str:
    """32 hexadecimal digits that name what it makes of a picture: its configuration, weights and statistics."""
    return digest([autoencoder.patch, autoencoder.latent_size, autoencoder.to_bytes()])
