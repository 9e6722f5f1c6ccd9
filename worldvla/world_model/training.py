"""Training of the world model: pre-training from scratch, fine-tuning on an iteration's SANS.

    L = E_{t, σ, ε} [ n(σ)² ‖v̂ - v‖² + w (λ(σ) ‖r̂(x̂0) - r‖² + ‖r̂(x0) - r‖²) ]

averaged over latents and frames: the flow loss of the residuals (`flow.py`); the joint
reward loss of World-VLA-Loop (arXiv 2602.06508) on the denoised latents, whose gradient
also reaches the transformer; and the same on clean latents, which keeps the head calibrated
where no noise is. λ(σ) = SNR / (1 + SNR), r is what the task's highest progress since the imagined
frame before is `worth`, and w is `training.reward_weight`.

Half of the windows continue the model's own rollouts (`rollouts.py`). They are denoised from
pure noise, σ = 1, as in imagination, and rewarded as there: their λ is 1. The history of the
others is real, noised (noisy context of WoVR). Each window is moved by up to `training.shift`
latent cells (`augmentation.py`).

The robot's body (`embodiment.py`) is trained before and stays as it is; where tasks succeed
(`landmarks.py`) is fitted before the first step. A window reads the body as imagination will:
rolled out from the recorded pose of its latest frame, or, where a rollout goes on, from that of
the episode's first.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import numpy as np
import torch

from worldvla.config import WorldModelArchitecture, WorldModelFineTuning
from worldvla.episodes.frame_bank import FrameBank, Pictures
from worldvla.policy.keypoints import Sight
from worldvla.training.checkpoint import Checkpointer
from worldvla.training.device import device, fast_dtype, generator
from worldvla.training.progress import Log
from worldvla.world_model.augmentation import draw_offsets, shift
from worldvla.world_model.autoencoder import FrameAutoencoder, autoencoder_digest, bank_latents
from worldvla.world_model.autoencoder_training import spread, train_autoencoder
from worldvla.world_model.contact_training import rolled_out, train_contact
from worldvla.world_model.embodiment import Embodiment
from worldvla.world_model.embodiment_training import train_embodiment_map, train_kinematics
from worldvla.world_model.flow import CONTEXT_SIGMA, flow_weight, reward_weight, sample_sigma
from worldvla.world_model.landmarks import fit_landmarks
from worldvla.world_model.model import WorldModel, assemble, autoencoder_config, embodiment_config
from worldvla.world_model.optimization import Validation, optimize
from worldvla.world_model.reward_head import worth
from worldvla.world_model.rollouts import Rollouts
from worldvla.world_model.windows import Windows, draw, mixture, windows_of

Module = TypeVar("Module", bound=torch.nn.Module)
Score = Callable[[WorldModel], tuple[float, float]]

ROLLOUT_SHARE = 0.5  # of windows continue what the model itself imagined,
ROLLOUTS_BEGIN = 1 / 8  # after this share of the steps
# Rolled or not, windows are drawn alike, but of one that is rolled the draw decides the episode alone: its rollout goes
# through all of it, so that long episodes, failures mostly, have more of these than their share.
# Of the windows drawn, so many are drawn from those that show success, besides the share these have by nature: enough
# for the reward head where they are rare, not so many that an uncertain future is imagined as a success.
SUCCESS_SHARE = 0.1
EPISODES_AT_ONCE = 64


def pretrain(
    bank: FrameBank,
    sight: Sight,
    architecture: WorldModelArchitecture,
    chunk: int,
    seed: int,
    checkpointer: Checkpointer,
    log: Log,
) -> WorldModel:
    """A world model trained from scratch on a bank whose images have `architecture.image_size` pixels a side.

    `sight`, the base policy's, tells what lies where. Stages `autoencoder`, `kinematics`, `contact`, `embodiment_map`
    and `dynamics`, all resumable; `log` gets metrics named after them.
    """
    pictures = bank.images.__getitem__
    autoencoder = pretrain_autoencoder(bank, pictures, architecture, chunk, seed, checkpointer, log)
    latents = bank_latents(autoencoder, bank)
    embodiment = pretrain_embodiment(autoencoder, sight, bank, latents, architecture, seed, checkpointer, log)
    return pretrain_dynamics(autoencoder, embodiment, bank, latents, architecture, chunk, seed, checkpointer, log)


def pretrain_autoencoder(
    bank: FrameBank,
    pictures: Pictures,
    architecture: WorldModelArchitecture,
    chunk: int,
    seed: int,
    checkpointer: Checkpointer,
    log: Log,
) -> FrameAutoencoder:
    """An autoencoder trained on `architecture.autoencoder.frames` frames of the bank.

    `pictures` gives these, at `architecture.image_size`; the bank itself needs none. Resumable, as stage `autoencoder`.
    Raises `UserError` where sizes do not divide or no episode is as long as a window of the dynamics.
    """
    # What no dynamics can be trained on is said now, not when the autoencoder is done.
    windows_of(bank, chunk, architecture.transformer.history, architecture.frame_stride)
    config = autoencoder_config(architecture)
    autoencoder = _drawn(lambda: FrameAutoencoder(config), seed, "autoencoder").to(device())
    drawn = np.flatnonzero(bank.drawn())
    frames = drawn[spread(len(drawn), architecture.autoencoder.frames)]
    train_autoencoder(
        autoencoder,
        pictures(frames),
        np.asarray(bank.tasks)[bank.episode_of_frame()[frames]],
        architecture.autoencoder,
        architecture.training.ema_decay,
        seed,
        checkpointer,
        _named("ae", log),
    )
    autoencoder.config["digest"] = autoencoder_digest(autoencoder)
    return autoencoder


def pretrain_embodiment(
    autoencoder: FrameAutoencoder,
    sight: Sight,
    bank: FrameBank,
    latents: np.ndarray,
    architecture: WorldModelArchitecture,
    seed: int,
    checkpointer: Checkpointer,
    log: Log,
) -> Embodiment:
    """The body of the bank's robot, trained; without proprioception there is nothing to train.

    `sight`, the base policy's, stays as it is; `latents` are float16 [N, C, h, w] of the bank's frames. Resumable, as
    stages `kinematics`, `contact` and `embodiment_map`.
    """
    senses, tasks = bank.proprio.shape[1], len(set(bank.tasks))
    config = embodiment_config(autoencoder, senses, bank.actions.shape[1], sight.image_size, tasks)
    embodiment = _drawn(lambda: Embodiment(config), seed, "embodiment").to(device())
    if embodiment.kinematics is not None and embodiment.map is not None:
        settings, decay = architecture.embodiment, architecture.training.ema_decay
        train_kinematics(embodiment.kinematics, bank, settings, decay, seed, checkpointer, _named("kinematics", log))
        eyes = embodiment.kinematics.contact.sight
        eyes.load_state_dict(sight.state_dict())
        found = _of_first_frames(lambda anchor: eyes(autoencoder.decode(anchor)), bank, latents)
        train_contact(embodiment.kinematics, bank, found, settings, decay, seed, checkpointer, _named("contact", log))
        shown = _named("embodiment_map", log)
        train_embodiment_map(embodiment.map, bank, latents, settings, decay, seed, checkpointer, shown)
    return embodiment


def pretrain_dynamics(
    autoencoder: FrameAutoencoder,
    embodiment: Embodiment,
    bank: FrameBank,
    latents: np.ndarray,
    architecture: WorldModelArchitecture,
    chunk: int,
    seed: int,
    checkpointer: Checkpointer,
    log: Log,
) -> WorldModel:
    """A world model of this autoencoder and embodiment, which stay as they are, with everything else trained.

    `latents` are float16 [N, C, h, w] of the bank's frames, which needs no images. Resumable, as stage `dynamics`.
    """
    model = _drawn(lambda: assemble(autoencoder, embodiment, architecture, chunk), seed, "dynamics").to(device())
    windows = windows_of(bank, model.chunk, model.history, model.frame_stride)
    scenes = _of_first_frames(model.see, bank, latents)
    if (body := model.embodiment.kinematics) is not None:
        succeeding = bank.first_of_episodes(np.flatnonzero(bank.reward > 0.5))
        fit_landmarks(model.success_points, bank, scenes, succeeding, body.mean, body.std)
    model.residual_std.copy_(_residual_std(torch.from_numpy(latents), windows))
    everywhere = np.ones(len(windows), dtype=bool)
    probabilities = mixture([(everywhere, 1 - SUCCESS_SHARE), (windows.succeeds, SUCCESS_SHARE)], windows.weight)
    _train_dynamics(
        model,
        latents,
        bank,
        scenes,
        windows,
        probabilities,
        architecture,
        architecture.pretrain_steps,
        architecture.training.learning_rate,
        seed,
        checkpointer,
        log,
    )
    return model.cpu()


def fine_tune(
    model: WorldModel,
    bank: FrameBank,
    latents: np.ndarray,
    drawn_by: Sequence[str],
    architecture: WorldModelArchitecture,
    fine_tuning: WorldModelFineTuning,
    seed: int,
    checkpointer: Checkpointer,
    log: Log,
    score: Score | None = None,
) -> WorldModel:
    """A copy of the pre-trained `model`, trained on; autoencoder, body and all statistics stay as they are.

    `latents` are float16 [N, C, h, w] of the bank's frames, by the model's autoencoder; the bank
    needs no images. `drawn_by` names an episode's group in `fine_tuning.sampling`, by whose share its
    windows are drawn. `score` gives the validation score of a model and its standard error; with
    it, the training ends with the weights that `Validation` keeps, and logs the scores.
    """
    windows = windows_of(bank, model.chunk, model.history, model.frame_stride)
    tuned = WorldModel(model.config).to(device())
    tuned.load_state_dict(model.state_dict())
    group = np.asarray(drawn_by)[windows.episode]
    shares = [(group == name, share) for name, share in sorted(fine_tuning.sampling.items())]
    by_group = mixture(shares, windows.weight)
    succeeds = windows.succeeds & (by_group > 0)
    success = mixture([(succeeds, 1.0)], windows.weight) if succeeds.any() else by_group
    validation = Validation(partial(score, tuned), fine_tuning.validate_every) if score else None
    _train_dynamics(
        tuned,
        latents,
        bank,
        _of_first_frames(tuned.see, bank, latents),
        windows,
        (1 - SUCCESS_SHARE) * by_group + SUCCESS_SHARE * success,
        architecture,
        fine_tuning.steps,
        fine_tuning.learning_rate,
        seed,
        checkpointer,
        log,
        validation,
    )
    return tuned.cpu()


def _train_dynamics(
    model: WorldModel,
    latents: np.ndarray,
    bank: FrameBank,
    scenes: torch.Tensor,
    windows: Windows,
    probabilities: np.ndarray,
    architecture: WorldModelArchitecture,
    steps: int,
    learning_rate: float,
    seed: int,
    checkpointer: Checkpointer,
    log: Log,
    validation: Validation | None = None,
) -> None:
    """Trains the transformer and the reward head in place on latents float16 [N, C, h, w] of the bank's frames, in
    scenes [E, S] of its episodes."""
    settings = architecture.training
    where = device()
    dtype = fast_dtype(where)
    actions = torch.from_numpy(bank.actions).to(where)
    travelled = torch.from_numpy(bank.travelled()).to(where)
    proprio, drifted = (torch.from_numpy(poses).to(where) for poses in _poses(model, bank, scenes))
    rollouts = Rollouts(windows, round(ROLLOUT_SHARE * settings.batch_size))
    reward = torch.from_numpy(worth(bank.highest(bank.progress, model.frame_stride))).to(where)
    encoded = torch.from_numpy(latents).to(where)

    def at(frames: np.ndarray, values: torch.Tensor) -> torch.Tensor:
        return values[torch.from_numpy(frames).to(where)].float()

    def loss_at(step: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        random = generator(seed, "dynamics", step)
        index = draw(probabilities, settings.batch_size, random)
        offsets = draw_offsets(settings.batch_size, settings.shift, random)
        sigma = sample_sigma(settings.batch_size, random)
        context_sigma = settings.context_noise * _context_level(settings.batch_size, random)
        rolled = rollouts.count if step >= ROLLOUTS_BEGIN * steps else 0
        if rolled:
            index, offsets = rollouts.lead(index, offsets)
            sigma[:rolled], context_sigma[:rolled] = 1, 0
        sigma, context_sigma = sigma.to(where), context_sigma.to(where)
        anchor, recent = at(windows.anchor[index], encoded), at(windows.history[index], encoded)
        latest = windows.history[index, -1]
        pose = torch.cat([at(latest[:rolled], drifted), at(latest[rolled:], proprio)])
        future, reached = at(windows.targets[index], encoded), at(windows.targets[index], reward)
        recent = recent + _wide(context_sigma) * torch.randn(recent.shape, generator=random).to(where)
        taken, before = at(windows.actions(index), actions), at(latest, travelled)
        scene = scenes[windows.episode[index]]
        with torch.autocast(where.type, dtype, enabled=dtype != torch.float32):
            body, poses = model.body_ahead(anchor, scene, pose, taken)
        frames = shift(torch.cat([anchor[:, None], recent, future, body], dim=1), offsets)
        anchor, recent, future, body = frames.split([1, model.history, future.shape[1], body.shape[1]], dim=1)
        anchor = anchor[:, 0]
        if rolled and len(going := rollouts.going()):
            recent[going] = rollouts.recent().to(where)
            context_sigma[going] = CONTEXT_SIGMA
        clean = (future - recent[:, -1:]) / model.residual_std
        noise = torch.randn(clean.shape, generator=random).to(where)
        noisy = (1 - _wide(sigma)) * clean + _wide(sigma) * noise
        with torch.autocast(where.type, dtype, enabled=dtype != torch.float32):
            context = torch.cat([anchor[:, None], recent], dim=1)
            denoised = model.denoise(noisy, sigma, context, context_sigma, taken, before, body, poses, scene)
            imagined = denoised * model.residual_std + recent[:, -1:]
            reward_error = (model.reward_head(imagined, anchor) - reached) ** 2
            clean_reward_error = (model.reward_head(future, anchor) - reached) ** 2
        reward_scale = reward_weight(sigma)
        if rolled:
            rollouts.advance(recent[:rolled], imagined[:rolled])
            reward_scale[:rolled] = 1
        # v̂ - v = (x0 - x̂0) / σ
        velocity_error = ((denoised - clean) / _wide(sigma)) ** 2
        flow = (flow_weight(sigma) * velocity_error.mean((1, 2, 3, 4))).mean()
        reward_loss = (reward_scale * reward_error.mean(1)).mean() + clean_reward_error.mean()
        metrics = {
            "flow_loss": flow.detach(),
            "reward_loss": reward_loss.detach(),
            "clean_reward_loss": clean_reward_error.detach().mean(),
        }
        return flow + settings.reward_weight * reward_loss, metrics

    trained = torch.nn.ModuleDict({"dynamics": model.dynamics, "reward_head": model.reward_head})
    decay, named = settings.ema_decay, _named("wm", log)
    kept = optimize(
        "dynamics", trained, loss_at, steps, learning_rate, decay, checkpointer, named, validation, rollouts
    )
    if validation:
        named(steps, {"kept_step": float(kept)})


def _drawn(make: Callable[[], Module], seed: int, stage: str) -> Module:
    """What `make` makes, its random weights a function of the seed and the stage alone."""
    with torch.random.fork_rng():
        torch.manual_seed(int(torch.randint(2**31, (), generator=generator(seed, stage, "weights"))))
        return make()


def _of_first_frames(
    read: Callable[[torch.Tensor], torch.Tensor], bank: FrameBank, latents: np.ndarray
) -> torch.Tensor:
    """[E, ...]: what `read` makes of the episodes' first frames, latents float16 [N, C, h, w]."""
    where = device()
    dtype = fast_dtype(where)
    first = torch.from_numpy(latents[bank.starts]).split(EPISODES_AT_ONCE)
    with torch.no_grad(), torch.autocast(where.type, dtype, enabled=dtype != torch.float32):
        return torch.cat([read(some.to(where).float()) for some in first])


def _poses(model: WorldModel, bank: FrameBank, scenes: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """float32 [N, P], twice: proprioception as recorded, and rolled out from each episode's first frame."""
    recorded = model.sensed(bank.proprio)
    kinematics = model.embodiment.kinematics
    return recorded, recorded if kinematics is None else rolled_out(kinematics, bank, recorded, scenes)


def _context_level(count: int, random: torch.Generator) -> torch.Tensor:
    """float32 [count] in [0, 1): one in four is 0, as where a rollout starts from real frames; the rest uniform."""
    level = torch.rand(count, generator=random)
    return torch.where(torch.rand(count, generator=random) < 0.25, torch.zeros(()), level)


def _residual_std(latents: torch.Tensor, windows: Windows, most: int = 1024) -> torch.Tensor:
    """[1, 1, C, 1, 1]: standard deviation of future minus latest latents over at most `most` windows."""
    drawn = np.flatnonzero(windows.weight)
    picked = drawn[spread(len(drawn), most)]
    residual = latents[windows.targets[picked]].float() - latents[windows.history[picked, -1]][:, None].float()
    return residual.square().mean((0, 1, 3, 4), keepdim=True).sqrt().clamp(min=1e-3)


def _wide(values: torch.Tensor) -> torch.Tensor:
    """[B] to [B, 1, 1, 1, 1]."""
    return values.view(-1, 1, 1, 1, 1)


def _named(prefix: str, log: Log) -> Log:
    return lambda step, metrics: log(step, {f"{prefix}/{name}": value for name, value in metrics.items()})
