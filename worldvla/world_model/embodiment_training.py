"""Training of the robot's kinematics and of what it looks like, on recorded proprioception."""

import numpy as np
import torch
import torch.nn.functional as F

from worldvla.config import Embodiment
from worldvla.episodes.frame_bank import FrameBank
from worldvla.training.checkpoint import Checkpointer
from worldvla.training.device import device, fast_dtype, generator
from worldvla.training.progress import Log
from worldvla.world_model.embodiment import EmbodimentMap, Kinematics
from worldvla.world_model.optimization import optimize

# Standard deviations up to which an error counts squared: the few large ones, where a controller fails, drown the rest.
SMALL_ERROR = 0.01
SMALLEST_STD = 1e-3


def train_kinematics(
    kinematics: Kinematics,
    bank: FrameBank,
    settings: Embodiment,
    ema_decay: float,
    seed: int,
    checkpointer: Checkpointer,
    log: Log,
) -> None:
    """Minimizes the Huber loss of rollouts of `settings.horizon` actions from recorded frames, in place.

    Rolled out as it will be used: the next action is taken from where the last one was thought to lead. What the
    robot meets is trained afterwards (`contact_training.py`).
    """
    where = device()
    proprio, actions = torch.from_numpy(bank.proprio).to(where), torch.from_numpy(bank.actions).to(where)
    _normalize(kinematics, proprio)
    begins, horizon = rollout_begins(bank, settings.horizon)
    steps_ahead = torch.arange(horizon, device=where)

    def loss_at(step: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        random = generator(seed, "kinematics", step)
        picked = torch.randint(len(begins), (settings.batch_size,), generator=random).numpy()
        begun = torch.from_numpy(begins[picked]).to(where)
        ahead = begun[:, None] + steps_ahead
        error = (kinematics.rollout(proprio[begun], actions[ahead], None) - proprio[ahead + 1]) / kinematics.std
        loss = kinematic_loss(error)
        return loss, {"loss": loss.detach(), "last_error": error.detach()[:, -1].abs().mean()}

    optimize(
        "kinematics",
        kinematics.step,
        loss_at,
        settings.kinematics_steps,
        settings.kinematics_learning_rate,
        ema_decay,
        checkpointer,
        log,
    )


def rollout_begins(bank: FrameBank, horizon: int) -> tuple[np.ndarray, int]:
    """Frames int64 with known proprioception that `horizon` actions follow; it is shortened to the longest episode."""
    left = np.repeat(bank.starts + bank.lengths - 1, bank.lengths) - np.arange(bank.frame_count)
    known = np.isfinite(bank.proprio).all(1)
    horizon = min(horizon, int(left[known].max()))
    return np.flatnonzero((left >= horizon) & known), horizon


def kinematic_loss(error: torch.Tensor) -> torch.Tensor:
    """Huber's, of errors in standard deviations."""
    return F.smooth_l1_loss(error, torch.zeros_like(error), beta=SMALL_ERROR)


def train_embodiment_map(
    embodiment_map: EmbodimentMap,
    bank: FrameBank,
    latents: np.ndarray,
    settings: Embodiment,
    ema_decay: float,
    seed: int,
    checkpointer: Checkpointer,
    log: Log,
) -> None:
    """Minimizes the squared error against latents float16 [N, C, h, w] of the bank's frames, in place.

    Of what else moved in a frame the map can show the mean alone; that is left to the video transformer.
    """
    where = device()
    dtype = fast_dtype(where)
    proprio = torch.from_numpy(bank.proprio)
    _normalize(embodiment_map, proprio.to(where))
    encoded = torch.from_numpy(latents)
    frames = np.flatnonzero(np.isfinite(bank.proprio).all(1) & bank.drawn())
    first = torch.from_numpy(np.repeat(bank.starts, bank.lengths))

    def loss_at(step: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        random = generator(seed, "embodiment_map", step)
        picked = torch.randint(len(frames), (settings.batch_size,), generator=random).numpy()
        shown = torch.from_numpy(frames[picked])
        anchor, target = encoded[first[shown]].to(where).float(), encoded[shown].to(where).float()
        with torch.autocast(where.type, dtype, enabled=dtype != torch.float32):
            drawn = embodiment_map(anchor, proprio[shown].to(where)[:, None])[:, 0]
        loss = F.mse_loss(drawn, target)
        still = F.mse_loss(anchor, target)
        return loss, {"loss": loss.detach(), "unexplained": loss.detach() / still.clamp(min=1e-6)}

    optimize(
        "embodiment_map",
        embodiment_map,
        loss_at,
        settings.map_steps,
        settings.map_learning_rate,
        ema_decay,
        checkpointer,
        log,
    )


def _normalize(module: Kinematics | EmbodimentMap, proprio: torch.Tensor) -> None:
    """Sets `mean` and `std` to those of the frames of proprio [N, P] that are known."""
    known = proprio[proprio.isfinite().all(1)]
    module.mean.copy_(known.mean(0))
    module.std.copy_(known.std(0).clamp(min=SMALLEST_STD))
