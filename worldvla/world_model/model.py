"""The world model as one bundle: autoencoder, chunk transformer, reward head, and their configuration."""

from typing import Any

import torch
from torch import nn

from worldvla.config import WorldModelArchitecture
from worldvla.errors import UserError
from worldvla.training import weights
from worldvla.world_model.autoencoder import NORM_GROUPS, FrameAutoencoder
from worldvla.world_model.dynamics import ChunkTransformer
from worldvla.world_model.flow import preconditioning
from worldvla.world_model.reward_head import RewardHead

DEFAULT_SUCCESS_THRESHOLD = 0.8  # of the predicted reward, where nothing was calibrated
JUDGED_PLACES = 8  # a side of a picture: where the reward head looks


class WorldModel(nn.Module):
    """Imagines the F frames, every `frame_stride`-th, that K = `chunk` actions lead to, and the progress in each.

    `config` is all that is needed to build it again; it holds the calibrated success
    thresholds, too. The flow runs over residuals: latents minus those of the latest history
    frame, divided by `residual_std` [1, 1, C, 1, 1], so that what does not move is zero.
    """

    def __init__(self, config: dict[str, Any]):
        super().__init__()
        self.config = config
        self.image_size: int = config["image_size"]
        self.chunk: int = config["chunk"]
        self.frame_stride: int = config["frame_stride"]
        self.history: int = config["transformer"]["history"]
        self.autoencoder = FrameAutoencoder(self.image_size, **config["autoencoder"])
        latent_channels, latent_size = config["autoencoder"]["latent_channels"], self.autoencoder.latent_size
        self.dynamics = ChunkTransformer(
            latent_channels,
            latent_size,
            self.chunk,
            self.frame_stride,
            config["action_dim"],
            **config["transformer"],
        )
        self.reward_head = RewardHead(latent_channels, config["reward_stride"])
        self.register_buffer("residual_std", torch.ones(1, 1, latent_channels, 1, 1))

    def success_threshold(self, task: str) -> float:
        """The predicted reward from which an imagined frame of a task counts as success."""
        return self.config["success_thresholds"].get(task, DEFAULT_SUCCESS_THRESHOLD)

    def denoise(
        self,
        noisy: torch.Tensor,
        sigma: torch.Tensor,
        context: torch.Tensor,
        context_sigma: torch.Tensor,
        actions: torch.Tensor,
        travelled: torch.Tensor,
    ) -> torch.Tensor:
        """x̂0 of noisy residuals [B, F, C, h, w] at noise levels [B]; the other arguments as the transformer's."""
        c_in, c_skip, c_out = (scale.view(-1, 1, 1, 1, 1) for scale in preconditioning(sigma))
        output = self.dynamics(c_in * noisy, sigma, context, context_sigma, actions, travelled)
        return c_skip * noisy + c_out * output.float()

    def to_bytes(self) -> bytes:
        """All weights and buffers as safetensors."""
        return weights.to_bytes(self.state_dict())

    @classmethod
    def from_bytes(cls, config: dict[str, Any], data: bytes) -> "WorldModel":
        """The model that `to_bytes` wrote; raises `UserError` when weights and configuration disagree."""
        return weights.build(cls, config, data)


def model_config(architecture: WorldModelArchitecture, chunk: int, action_dim: int) -> dict[str, Any]:
    """The configuration of a new model; raises UserError where sizes do not divide."""
    autoencoder = architecture.autoencoder
    fold = autoencoder.patch * 2 ** (len(autoencoder.channels) - 1)
    latent_size = architecture.image_size // fold
    if architecture.image_size % fold or latent_size % architecture.transformer.patch or latent_size % 2:
        raise UserError(
            f"world_model.image_size {architecture.image_size} does not fold: {fold} pixels make a latent "
            f"(autoencoder.patch and levels), and transformer.patch {architecture.transformer.patch} must divide "
            "an even number of latents a side"
        )
    if any(channels % NORM_GROUPS for channels in autoencoder.channels):
        raise UserError(f"world_model.autoencoder.channels must be multiples of {NORM_GROUPS}: {autoencoder.channels}")
    return {
        "image_size": architecture.image_size,
        "chunk": chunk,
        "frame_stride": architecture.frame_stride,
        "success_thresholds": {},
        "action_dim": action_dim,
        "autoencoder": autoencoder.model_dump(include={"patch", "latent_channels", "channels", "layers_per_block"}),
        "transformer": architecture.transformer.model_dump(),
        "reward_stride": max(1, latent_size // JUDGED_PLACES),
    }
