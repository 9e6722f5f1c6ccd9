"""The world model as one bundle: autoencoder, embodiment, chunk transformer, reward head, and their configuration."""

from typing import Any

import numpy as np
import torch
from torch import nn

from worldvla.config import WorldModelArchitecture
from worldvla.errors import UserError
from worldvla.training import weights
from worldvla.world_model.autoencoder import NORM_GROUPS, FrameAutoencoder
from worldvla.world_model.contact import SCENE
from worldvla.world_model.dynamics import ChunkTransformer
from worldvla.world_model.embodiment import Embodiment
from worldvla.world_model.flow import preconditioning
from worldvla.world_model.landmarks import Landmarks
from worldvla.world_model.reward_head import RewardHead

DEFAULT_SUCCESS_THRESHOLD = 0.8  # of the predicted reward, where nothing was calibrated
JUDGED_PLACES = 8  # a side of a picture: where the reward head looks


class WorldModel(nn.Module):
    """Imagines the F frames, every `frame_stride`-th, that K = `chunk` actions lead to, and the progress in each.

    `config` is all that is needed to build it again; it holds the calibrated success
    thresholds, too. The flow runs over residuals: latents minus those of the latest history
    frame, divided by `residual_std` [1, 1, C, 1, 1], so that what does not move is zero.
    `success_points` are the poses at which tasks first succeed.
    """

    def __init__(self, config: dict[str, Any]):
        super().__init__()
        self.config = config
        self.chunk: int = config["chunk"]
        self.frame_stride: int = config["frame_stride"]
        self.history: int = config["transformer"]["history"]
        self.autoencoder = FrameAutoencoder(config["autoencoder"])
        self.image_size = self.autoencoder.image_size
        self.embodiment = Embodiment(config["embodiment"])
        latent_channels, proprio_dim = config["autoencoder"]["latent_channels"], config["embodiment"]["proprio_dim"]
        self.dynamics = ChunkTransformer(
            latent_channels,
            self.autoencoder.latent_size,
            self.chunk,
            self.frame_stride,
            config["embodiment"]["action_dim"],
            pose_dim=3 * proprio_dim + 1 if proprio_dim else 0,
            scene_dim=SCENE if proprio_dim else 0,
            **config["transformer"],
        )
        self.reward_head = RewardHead(latent_channels, config["reward_stride"])
        self.success_points = Landmarks(config["embodiment"]["tasks"], SCENE, proprio_dim)
        self.register_buffer("residual_std", torch.ones(1, 1, latent_channels, 1, 1))

    def success_threshold(self, task: str) -> float:
        """The predicted reward from which an imagined frame of a task counts as success."""
        return self.config["success_thresholds"].get(task, DEFAULT_SUCCESS_THRESHOLD)

    def sensed(self, proprio: np.ndarray) -> np.ndarray:
        """float32 [N, P] of proprioception [N, any]: itself, or NaN, not known, where it has another width."""
        width = self.config["embodiment"]["proprio_dim"]
        return proprio if proprio.shape[1] == width else np.full((len(proprio), width), np.nan, np.float32)

    @torch.no_grad()
    def see(self, anchor: torch.Tensor) -> torch.Tensor:
        """The scenes [B, S] of first frames, latents [B, C, h, w]; S is 0 for a model without proprioception."""
        if self.embodiment.kinematics is None:
            return anchor.new_zeros(len(anchor), 0)
        return self.embodiment.kinematics.contact.look(self.autoencoder.decode(anchor))

    @torch.no_grad()
    def body_ahead(
        self, anchor: torch.Tensor, scene: torch.Tensor, proprio: torch.Tensor, actions: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The robot's body, now and in the F frames of a chunk: maps [B, 1 + F, C, h, w] and poses [B, 1 + F, P].

        `anchor` [B, C, h, w] are first frames, `scene` [B, S] theirs (`see`), `proprio` [B, P] is that of now,
        `actions` [B, K, A] follow.
        A model without proprioception (P = 0) shows the first frames themselves.
        """
        if self.embodiment.kinematics is None or self.embodiment.map is None:
            frames = 1 + actions.shape[1] // self.frame_stride
            return anchor[:, None].expand(-1, frames, -1, -1, -1), proprio[:, None].expand(-1, frames, -1)
        kinematics = self.embodiment.kinematics
        reached = kinematics.rollout(proprio, actions, kinematics.contact.within(scene))
        poses = torch.cat([proprio[:, None], reached[:, self.frame_stride - 1 :: self.frame_stride]], dim=1)
        return self.embodiment.map(anchor, poses), poses

    def denoise(
        self,
        noisy: torch.Tensor,
        sigma: torch.Tensor,
        context: torch.Tensor,
        context_sigma: torch.Tensor,
        actions: torch.Tensor,
        travelled: torch.Tensor,
        body: torch.Tensor,
        poses: torch.Tensor,
        scene: torch.Tensor,
    ) -> torch.Tensor:
        """x̂0 of noisy residuals [B, F, C, h, w] at noise levels [B]; `body` and `poses` as of `body_ahead`, `scene` as
        of `see`, the other arguments as the transformer's."""
        c_in, c_skip, c_out = (scale.view(-1, 1, 1, 1, 1) for scale in preconditioning(sigma))
        output = self.dynamics(
            c_in * noisy, sigma, context, context_sigma, actions, travelled, body, self._standing(poses, scene), scene
        )
        return c_skip * noisy + c_out * output.float()

    def _standing(self, poses: torch.Tensor, scene: torch.Tensor) -> torch.Tensor:
        """Poses [B, 1 + F, P] to about unit size, how far they are from where things are held in scenes [B, S] and
        from where tasks succeed, and whether they are known: [B, 1 + F, 3 P + 1]; P = 0 stays 0."""
        kinematics = self.embodiment.kinematics
        if kinematics is None:
            return poses
        known = poses.isfinite().all(-1, keepdim=True)
        normalized = ((poses - kinematics.mean) / kinematics.std).nan_to_num()
        away = [
            landmarks.away(normalized, landmarks(scene)[:, None])
            for landmarks in (kinematics.contact.grasp_points, self.success_points)
        ]
        return torch.cat([torch.cat([normalized, *away], dim=-1) * known, known.to(normalized.dtype)], dim=-1)

    def to_bytes(self) -> bytes:
        """All weights and buffers as safetensors."""
        return weights.to_bytes(self.state_dict())

    @classmethod
    def from_bytes(cls, config: dict[str, Any], data: bytes) -> "WorldModel":
        """The model that `to_bytes` wrote; raises `UserError` when weights and configuration disagree."""
        return weights.build(cls, config, data)


def autoencoder_config(architecture: WorldModelArchitecture) -> dict[str, Any]:
    """The configuration of a new autoencoder; raises `UserError` where sizes do not divide, the transformer's too."""
    settings = architecture.autoencoder
    fold = settings.patch * 2 ** (len(settings.channels) - 1)
    latent_size = architecture.image_size // fold
    if architecture.image_size % fold or latent_size % architecture.transformer.patch or latent_size % 2:
        raise UserError(
            f"world_model.image_size {architecture.image_size} does not fold: {fold} pixels make a latent "
            f"(autoencoder.patch and levels), and transformer.patch {architecture.transformer.patch} must divide "
            "an even number of latents a side"
        )
    if any(channels % NORM_GROUPS for channels in settings.channels):
        raise UserError(f"world_model.autoencoder.channels must be multiples of {NORM_GROUPS}: {settings.channels}")
    layers = settings.model_dump(include={"patch", "latent_channels", "channels", "layers_per_block"})
    return {"image_size": architecture.image_size, **layers}


def embodiment_config(
    autoencoder: FrameAutoencoder, proprio_dim: int, action_dim: int, sight_size: int, tasks: int
) -> dict[str, Any]:
    """The configuration of a new embodiment of a robot of so many senses and actions, seen by this autoencoder in so
    many tasks."""
    return {
        "proprio_dim": proprio_dim,
        "action_dim": action_dim,
        "sight_size": sight_size,
        "tasks": tasks,
        "latent_channels": autoencoder.config["latent_channels"],
        "latent_size": autoencoder.latent_size,
    }


def assemble(
    autoencoder: FrameAutoencoder, embodiment: Embodiment, architecture: WorldModelArchitecture, chunk: int
) -> WorldModel:
    """A new world model that sees by the autoencoder and has the embodiment's body; the rest is random."""
    model = WorldModel(
        {
            "chunk": chunk,
            "frame_stride": architecture.frame_stride,
            "success_thresholds": {},
            "autoencoder": autoencoder.config,
            "embodiment": embodiment.config,
            "transformer": architecture.transformer.model_dump(),
            "reward_stride": max(1, autoencoder.latent_size // JUDGED_PLACES),
        }
    )
    model.autoencoder.load_state_dict(autoencoder.state_dict())
    model.embodiment.load_state_dict(embodiment.state_dict())
    return model
