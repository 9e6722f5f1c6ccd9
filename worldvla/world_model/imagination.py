"""Imagination: a batch of environments stepped inside the world model, chunk by chunk.

Each chunk is drawn with Euler's method over rectified flow; its last latent frames are the
next chunk's history, so frames are decoded only where someone looks at them.
"""

import copy
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch

from worldvla.training.device import device, fast_dtype, generator
from worldvla.training.fusion import fused, is_fusing
from worldvla.world_model.autoencoder import FrameAutoencoder
from worldvla.world_model.flow import CONTEXT_SIGMA, schedule
from worldvla.world_model.model import WorldModel

# Latent cells that pass through the networks together: what stays in a processor's caches, what fills a GPU.
CELLS_AT_ONCE = {"cpu": 2**13, "cuda": 2**16}

decode_frames = fused(FrameAutoencoder.decode)


@dataclass(frozen=True)
class ImaginationState:
    """Where B imagined rollouts stand: latents anchor [B, C, h, w], recent [B, history, C, h, w].

    `scene` [B, S] is what the model sees in the anchor, `travelled` [B, A] the sum of all actions since, `proprio`
    [B, P] where they have led the robot.
    `rollout` counts the starts of one Imagination, `chunks` the steps since; both name the noise.
    """

    anchor: torch.Tensor
    scene: torch.Tensor
    recent: torch.Tensor
    travelled: torch.Tensor
    proprio: torch.Tensor
    rollout: int
    chunks: int

    def select(self, rows: np.ndarray | torch.Tensor) -> "ImaginationState":
        """The state of these rollouts alone, in this order: finished ones leave the batch."""
        kept = torch.as_tensor(rows, device=self.anchor.device)
        return replace(
            self,
            anchor=self.anchor[kept],
            scene=self.scene[kept],
            recent=self.recent[kept],
            travelled=self.travelled[kept],
            proprio=self.proprio[kept],
        )


@dataclass(frozen=True)
class Imagined:
    """One chunk: images uint8 [B, F or 1, H, W, 3] and reward float32 [B, F] in [0, 1] of its F imagined frames,
    the last of them the chunk's last, and the state after it; `latents` [B, F, C, h, w] are for `Imagination.look`."""

    images: np.ndarray
    reward: np.ndarray
    state: ImaginationState
    latents: torch.Tensor


class Imagination:
    """Steps a world model; deterministic in (model, seed, order of starts, actions).

    `imagined_steps` counts actions carried out so far over all rollouts: B · K a step.
    """

    def __init__(self, model: WorldModel, denoising_steps: int, generator_seed: int):
        self.device = device()
        self.dtype = fast_dtype(self.device)
        self.model = copy.deepcopy(model).to(self.device).eval()
        torch.nn.Module.to(self.model.dynamics, self.dtype)  # diffusers' own `to` warns of layers that are not here
        self.sigmas = schedule(denoising_steps)
        self.seed = generator_seed
        self.imagined_steps = 0
        self._rollouts = 0

    def start(
        self,
        anchor: np.ndarray,
        proprio: np.ndarray,
        history: np.ndarray | None = None,
        travelled: np.ndarray | None = None,
    ) -> ImaginationState:
        """Begins B rollouts: anchor uint8 [B, H, W, 3] is each episode's first frame.

        `proprio` float32 [B, P] is what the robot senses of itself now; NaN, or of another width, it is not known.
        `history` uint8 [B, h, H, W, 3], oldest first, is the latest frames, `frame_stride` apart,
        where a rollout starts later; the oldest is repeated when there are fewer than the model reads.
        `travelled` float32 [B, A] is then the sum of the actions taken until there.
        """
        anchor_latents = self._encode(anchor)
        if history is None:
            recent = anchor_latents[:, None].expand(-1, self.model.history, -1, -1, -1)
        else:
            kept = history[:, -self.model.history :]
            kept = np.concatenate([kept[:, :1]] * (self.model.history - kept.shape[1]) + [kept], axis=1)
            recent = self._encode(kept.reshape(-1, *kept.shape[2:])).unflatten(0, kept.shape[:2])
        if travelled is None:
            travelled = np.zeros((len(anchor), self.model.config["embodiment"]["action_dim"]), np.float32)
        self._rollouts += 1
        sensed = torch.from_numpy(self.model.sensed(proprio)).to(self.device)
        way = torch.from_numpy(travelled).to(self.device)
        scene = self._see(anchor_latents)
        return ImaginationState(anchor_latents, scene, recent, way, sensed, self._rollouts - 1, 0)

    @torch.inference_mode()
    def step(self, state: ImaginationState, actions: np.ndarray, decode: Literal["all", "last"] = "all") -> Imagined:
        """Imagines the F frames that actions float32 [B, K, 7] lead to; `decode="last"` decodes one frame a rollout."""
        actions_BKA = torch.as_tensor(actions, dtype=torch.float32, device=self.device)
        batch, chunk = actions_BKA.shape[:2]
        frames = chunk // self.model.frame_stride
        random = generator(self.seed, "imagine", state.rollout, state.chunks)
        noise = torch.randn(batch, frames, *state.anchor.shape[1:], generator=random).to(self.device)
        with self._precision():
            parts = [
                self._imagine(state.select(rows), actions_BKA[rows], noise[rows], decode)
                for rows in self._slices(batch)
            ]
        latents, reward, images, proprio = (torch.cat(part)[:batch] for part in zip(*parts, strict=True))
        self.imagined_steps += batch * chunk
        recent = torch.cat([state.recent, latents], dim=1)[:, -self.model.history :]
        travelled = state.travelled + actions_BKA.sum(1)
        after = replace(state, recent=recent, travelled=travelled, proprio=proprio, chunks=state.chunks + 1)
        return Imagined(images.cpu().numpy(), reward.float().cpu().numpy(), after, latents)

    @torch.inference_mode()
    def look(self, imagined: Imagined, rows: np.ndarray, frames: np.ndarray) -> np.ndarray:
        """Images uint8 [N, H, W, 3] of N frames that a step imagined, decoded by it or not: `frames` int [N] of the
        rollouts `rows` int [N]."""
        size = self.model.image_size
        if not len(rows):
            return np.zeros((0, size, size, 3), np.uint8)
        latents = imagined.latents[torch.from_numpy(rows), torch.from_numpy(frames)]
        with self._precision():
            parts = [decode_frames(self.model.autoencoder, latents[some]) for some in self._slices(len(latents))]
        return torch.cat(parts)[: len(latents)].cpu().numpy()

    def _imagine(
        self, state: ImaginationState, actions_BKA: torch.Tensor, noise: torch.Tensor, decode: Literal["all", "last"]
    ) -> tuple[torch.Tensor, ...]:
        """Latents [B, F, C, h, w], reward [B, F], images uint8 [B, F or 1, H, W, 3] and proprio [B, P] of one slice."""
        model, residual = self.model, noise
        batch = len(noise)
        context = torch.cat([state.anchor[:, None], state.recent], dim=1)
        context_sigma = torch.full((batch,), CONTEXT_SIGMA if state.chunks else 0.0, device=self.device)
        body, poses = model.body_ahead(state.anchor, state.scene, state.proprio, actions_BKA)
        for sigma, next_sigma in zip(self.sigmas, self.sigmas[1:], strict=False):
            level = torch.full((batch,), sigma, device=self.device)
            denoised = model.denoise(
                residual, level, context, context_sigma, actions_BKA, state.travelled, body, poses, state.scene
            )
            residual = residual + (next_sigma - sigma) * (residual - denoised) / sigma
        latents = residual * model.residual_std + state.recent[:, -1:]
        reward = model.reward_head(latents, state.anchor).clamp(0, 1)
        shown = latents if decode == "all" else latents[:, -1:]
        images = decode_frames(model.autoencoder, shown.flatten(0, 1)).unflatten(0, shown.shape[:2])
        return latents, reward, images, poses[:, -1]

    def _slices(self, batch: int) -> list[torch.Tensor]:
        """The rows of a batch in slices; for compiled kernels, made for one shape, the last is filled with its end."""
        size = max(1, CELLS_AT_ONCE[self.device.type] // self.model.autoencoder.latent_size**2)
        count = -(-batch // size) * size if is_fusing() else batch
        return list(torch.arange(count, device=self.device).clamp(max=batch - 1).split(size))

    @torch.inference_mode()
    def _encode(self, images: np.ndarray) -> torch.Tensor:
        with self._precision():
            return self.model.autoencoder.encode(torch.from_numpy(np.ascontiguousarray(images)).to(self.device))

    @torch.inference_mode()
    def _see(self, anchor: torch.Tensor) -> torch.Tensor:
        with self._precision():
            return torch.cat([self.model.see(anchor[rows]) for rows in self._slices(len(anchor))])[: len(anchor)]

    def _precision(self) -> torch.autocast:
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)
