"""Training of what the robot meets, on rollouts from where nothing has been met yet.

A recorded pose gives the outcome of a grasp away as soon as the hand has touched something. So half of
the rollouts begin shortly before an episode's fingers are first told to close, where the kinematics by
themselves, rolled out from the first frame, have brought the robot: from there only the picture tells.
Of later closings it does not tell, for things have moved; learned from these, it learns episodes by heart.

From there the hand's way is told to some millimetres, and so is where things lie. A network that is told the
hand's place a little wrongly, by as much all through a rollout, learns less by heart: docs/experiments.md.
"""

import numpy as np
import torch

from worldvla.config import Embodiment
from worldvla.episodes.frame_bank import FrameBank
from worldvla.training.checkpoint import Checkpointer
from worldvla.training.device import device, generator
from worldvla.training.progress import Log
from worldvla.world_model.contact import MEMBERS
from worldvla.world_model.embodiment import Kinematics
from worldvla.world_model.embodiment_training import kinematic_loss, rollout_begins
from worldvla.world_model.landmarks import fit_landmarks
from worldvla.world_model.optimization import optimize

BEFORE_CLOSING = 4  # actions, at most, that a rollout begins before fingers are told to close
KEPT = 6  # actions that fingers stay closed for, where they may have held something
MISREAD = 0.05  # standard deviations of a pose that contact is told wrongly


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

    Each of its members learns from its own rollouts, `settings.batch_size` a step. `keypoints` float32 [E, S] are what
    contact's sight, which stays as it is, finds in the episodes' first frames. To the kinematics' own loss, which
    keeps free movements exact, the squared error is added: what is met makes few errors, large ones.
    """
    where = device()
    kinematics.requires_grad_(False)
    contact = kinematics.contact
    contact.members.requires_grad_(True)
    begins, horizon = rollout_begins(bank, settings.horizon)
    closing = np.intersect1d(begins, _before_closing(bank))
    recorded, free = (
        torch.from_numpy(poses).to(where) for poses in (bank.proprio, rolled_out(kinematics, bank, bank.proprio))
    )
    actions, scenes = torch.from_numpy(bank.actions).to(where), contact.accustom(keypoints.to(where))
    fit_landmarks(contact.grasp_points, bank, scenes, _kept_closings(bank), kinematics.mean, kinematics.std)
    episode = torch.from_numpy(bank.episode_of_frame()).to(where)
    steps_ahead = torch.arange(horizon, device=where)
    half = settings.batch_size // 2 if len(closing) else 0

    def loss_at(step: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        random = generator(seed, "contact", step)

        def drawn(frames: np.ndarray, count: int) -> torch.Tensor:
            picked = torch.randint(len(frames), (MEMBERS, count), generator=random).numpy()
            return torch.from_numpy(frames[picked]).to(where)

        before = drawn(closing, half) if half else torch.zeros(MEMBERS, 0, dtype=torch.int64, device=where)
        others = drawn(begins, settings.batch_size - half)
        pose = torch.cat([free[before], recorded[others]], dim=1).flatten(0, 1)
        begun = torch.cat([before, others], dim=1).flatten()
        ahead, scene = begun[:, None] + steps_ahead, scenes[episode[begun]]
        misread = MISREAD * torch.randn(pose.shape, generator=random).to(where)

        met = contact.apart_within(scene, misread)
        error = (kinematics.rollout(pose, actions[ahead], met) - recorded[ahead + 1]) / kinematics.std
        # Each member's own mean, so that none learns slower for the others.
        loss = MEMBERS * (kinematic_loss(error) + error.square().mean())
        metrics = {"loss": loss.detach() / MEMBERS}
        if half:
            metrics["closing_loss"] = error.detach().unflatten(0, (MEMBERS, -1))[:, :half].square().mean()
        return loss, metrics

    optimize(
        "contact",
        contact.members,
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
        met = None if scenes is None else kinematics.contact.within(scenes)
        reached = kinematics.rollout(begun, taken, met).cpu().numpy()
    path, episode = np.concatenate([proprio[first][:, None], reached], axis=1), bank.episode_of_frame()
    return path[episode, np.arange(bank.frame_count) - first[episode]]


def _before_closing(bank: FrameBank) -> np.ndarray:
    """Frames int64 shortly before fingers first close in an episode of which the first pose is known."""
    first = bank.first_of_episodes(_closings(bank))
    start = bank.starts[bank.episode_of_frame()[first]]
    before = first[:, None] - np.arange(1, BEFORE_CLOSING + 1)
    return before[(before >= start[:, None]) & np.isfinite(bank.proprio[start]).all(1)[:, None]]


def _kept_closings(bank: FrameBank) -> np.ndarray:
    """Frames int64 at which an episode's fingers are first told to close for KEPT actions or more."""
    turns, episode = _closings(bank), bank.episode_of_frame()
    ends = bank.starts + bank.lengths - 1
    turns = turns[turns + KEPT <= ends[episode[turns]]]
    kept = (bank.actions[turns[:, None] + np.arange(KEPT), -1] < 0).all(1)
    return bank.first_of_episodes(turns[kept])


def _closings(bank: FrameBank) -> np.ndarray:
    """Frames int64 at which fingers that were told to be open are told to close."""
    episode, closed = bank.episode_of_frame(), bank.actions[:, -1] < 0
    return np.flatnonzero(closed[1:] & ~closed[:-1] & (episode[1:] == episode[:-1])) + 1
