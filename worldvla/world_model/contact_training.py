"""Training of what the robot meets, on rollouts from where nothing has been met yet.

A recorded pose gives the outcome of a grasp away as soon as the hand has touched something. So half of
the rollouts begin shortly before an episode's fingers are first told to close, where the kinematics by
themselves, rolled out from the first frame, have brought the robot: from there only the picture tells.
Of later closings it does not tell, for things have moved; learned from these, it learns episodes by heart.
"""

import numpy as np
import torch
from torch import nn

from worldvla.config import Embodiment
from worldvla.episodes.frame_bank import FrameBank
from worldvla.training.checkpoint import Checkpointer
from worldvla.training.device import device, generator
from worldvla.training.progress import Log
from worldvla.world_model.embodiment import Kinematics
from worldvla.world_model.embodiment_training import kinematic_loss, rollout_begins
from worldvla.world_model.optimization import optimize

BEFORE_CLOSING = 4  # actions, at most, that a rollout begins before fingers are told to close


def train_contact(
    kinematics: Kinematics,
    bank: FrameBank,
    keypoints: torch.Tensor,
    settings: Embodiment,
    ema_decay: float,
    seed: int,
    checkpointer: Checkpointer,
    log: Log,
) -> None:
    """Minimizes the error of rollouts of `settings.horizon` actions, of `kinematics.contact`, in place.

    `keypoints` float32 [E, S] are what contact's sight, which stays as it is, finds in the episodes' first frames. To
    the kinematics' own loss, which keeps free movements exact, the squared error is added: what is met makes few
    errors, large ones.
    """
    where = device()
    kinematics.requires_grad_(False)
    learning = nn.ModuleDict({"places": kinematics.contact.places, "step": kinematics.contact.step})
    learning.requires_grad_(True)
    begins, horizon = rollout_begins(bank, settings.horizon)
    closing = np.intersect1d(begins, _before_closing(bank))
    recorded, free = (
        torch.from_numpy(poses).to(where) for poses in (bank.proprio, rolled_out(kinematics, bank, bank.proprio))
    )
    actions, scenes = torch.from_numpy(bank.actions).to(where), kinematics.contact.accustom(keypoints.to(where))
    episode = torch.from_numpy(bank.episode_of_frame()).to(where)
    steps_ahead = torch.arange(horizon, device=where)
    half = settings.batch_size // 2 if len(closing) else 0

    def loss_at(step: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        random = generator(seed, "contact", step)

        def drawn(frames: np.ndarray, count: int) -> torch.Tensor:
            return torch.from_numpy(frames[torch.randint(len(frames), (count,), generator=random).numpy()]).to(where)

        before = drawn(closing, half) if half else torch.zeros(0, dtype=torch.int64, device=where)
        begun = torch.cat([before, drawn(begins, settings.batch_size - half)])
        pose = torch.cat([free[before], recorded[begun[half:]]])
        ahead = begun[:, None] + steps_ahead
        reached = kinematics.rollout(pose, actions[ahead], scenes[episode[begun]])
        error = (reached - recorded[ahead + 1]) / kinematics.std
        loss = kinematic_loss(error) + error.square().mean()
        metrics = {"loss": loss.detach()}
        if half:
            metrics["closing_loss"] = error.detach()[:half].square().mean()
        return loss, metrics

    optimize(
        "contact",
        learning,
        loss_at,
        settings.contact_steps,
        settings.contact_learning_rate,
        ema_decay,
        checkpointer,
        log,
    )
    kinematics.step.requires_grad_(True)


def rolled_out(
    kinematics: Kinematics, bank: FrameBank, proprio: np.ndarray, scenes: torch.Tensor | None = None
) -> np.ndarray:
    """float32 [N, P]: where the bank's actions lead, in scenes [E, S], from each episode's first of proprio [N, P]."""
    where, first = device(), bank.starts
    ahead = np.minimum(first[:, None] + np.arange(bank.lengths.max() - 1), (first + bank.lengths - 1)[:, None])
    with torch.inference_mode():
        begun, taken = torch.from_numpy(proprio[first]).to(where), torch.from_numpy(bank.actions[ahead]).to(where)
        reached = kinematics.rollout(begun, taken, scenes).cpu().numpy()
    path, episode = np.concatenate([proprio[first][:, None], reached], axis=1), bank.episode_of_frame()
    return path[episode, np.arange(bank.frame_count) - first[episode]]


def _before_closing(bank: FrameBank) -> np.ndarray:
    """Frames int64 shortly before fingers first close in an episode of which the first pose is known."""
    episode, closed = bank.episode_of_frame(), bank.actions[:, -1] < 0
    turns = np.flatnonzero(closed[1:] & ~closed[:-1] & (episode[1:] == episode[:-1])) + 1
    _, firsts = np.unique(episode[turns], return_index=True)
    first, start = turns[firsts], bank.starts[episode[turns[firsts]]]
    before = first[:, None] - np.arange(1, BEFORE_CLOSING + 1)
    return before[(before >= start[:, None]) & np.isfinite(bank.proprio[start]).all(1)[:, None]]
