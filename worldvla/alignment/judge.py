"""The judge: a small convolutional classifier of "this frame shows success", trained on real frames only.

It answers whether an imagined video *shows* the outcome, without asking the world model's own
reward head. Because it never sees an imagined frame in training, what it gets wrong there is
the picture's fault or its own: its accuracy on the real frames of the same episodes is
reported beside every figure it gives.
"""

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from worldvla.config import Judge as JudgeConfig
from worldvla.episodes.frame_bank import FrameBank
from worldvla.errors import UserError
from worldvla.training import weights
from worldvla.training.checkpoint import Checkpointer, load_optimizer_tensors, optimizer_tensors
from worldvla.training.device import device, generator
from worldvla.training.divergence import refuse_divergence
from worldvla.training.progress import Log, ignore, track
from worldvla.training.schedule import warmed_up_cosine

THRESHOLD = 0.5  # probability from which a real frame shows success
STAGE = "judge"
MAX_SHIFT = 3  # pixels
MAX_BLUR = 1.0  # pixels, standard deviation
BRIGHTNESS = 0.1
NOISE = 0.03
WEIGHT_DECAY = 0.05
LOG_EVERY = 25
BATCH = 512
NORM_GROUPS = 4
# Among frames without success those of much progress are drawn more often: they are what must be told apart.
BASE_WEIGHT = 0.1


class Judge(nn.Module):
    """`config` (`image_size`, `channels`) is all that is needed to build it again.

    Every level halves the resolution; mean and maximum over the last one's positions are
    classified. Two channels of coordinates let it say where something lies.
    """

    def __init__(self, config: dict[str, Any]):
        super().__init__()
        self.config = config
        self.image_size: int = config["image_size"]
        layers: list[nn.Module] = []
        before = 5
        for channels in config["channels"]:
            layers += [
                nn.Conv2d(before, channels, 3, stride=2, padding=1),
                nn.GroupNorm(NORM_GROUPS, channels),
                nn.SiLU(),
                nn.Conv2d(channels, channels, 3, padding=1),
                nn.GroupNorm(NORM_GROUPS, channels),
                nn.SiLU(),
            ]
            before = channels
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(2 * before, 1)

    def forward(self, pixels_B3HW: torch.Tensor) -> torch.Tensor:
        """Logits [B] of float pixels in [0, 1]."""
        line = torch.linspace(-1, 1, self.image_size, device=pixels_B3HW.device)
        rows, columns = torch.meshgrid(line, line, indexing="ij")
        place = torch.stack([rows, columns]).expand(len(pixels_B3HW), -1, -1, -1)
        features = self.features(torch.cat([pixels_B3HW * 2 - 1, place], dim=1))
        return self.head(torch.cat([features.mean((2, 3)), features.amax((2, 3))], dim=1))[:, 0]

    @torch.inference_mode()
    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """float32 [N]: how surely each of the frames uint8 [N, H, W, 3] shows success."""
        where = next(self.parameters()).device
        parts = [
            torch.sigmoid(self(_pixels(images[first : first + BATCH]).to(where))).cpu()
            for first in range(0, len(images), BATCH)
        ]
        return torch.cat(parts).numpy() if parts else np.zeros(0, np.float32)

    def to_bytes(self) -> bytes:
        """All weights as safetensors."""
        return weights.to_bytes(self.state_dict())

    @classmethod
    def from_bytes(cls, config: dict[str, Any], data: bytes) -> "Judge":
        """The judge that `to_bytes` wrote, on `device()`; raises `UserError` when the two disagree."""
        return weights.build(cls, config, data).to(device())


def train(
    bank: FrameBank,
    settings: JudgeConfig,
    image_size: int,
    seed: int,
    checkpointer: Checkpointer,
    log: Log = ignore,
) -> Judge:
    """A judge of the frames of `bank`, half of each batch successes; raises UserError when the bank lacks an outcome
    or the training diverges.

    A pure function of its arguments on one machine, interrupted or not.
    """
    drawn = bank.drawn()
    positive = np.flatnonzero(drawn & (bank.reward > 0.5))
    negative = np.flatnonzero(drawn & (bank.reward <= 0.5))
    if not len(positive) or not len(negative):
        outcome = "success" if not len(positive) else "failure"
        raise UserError(
            f"judge: no training frame shows {outcome}; raise demonstrations.per_task and perturbed.per_task"
        )
    if any(channels % NORM_GROUPS for channels in settings.channels):
        raise UserError(f"judge.channels must be multiples of {NORM_GROUPS}: {settings.channels}")
    torch.manual_seed(generator(seed, STAGE, "weights").initial_seed())
    judge = Judge({"image_size": image_size, "channels": list(settings.channels)}).to(device())
    weight = torch.from_numpy(BASE_WEIGHT + bank.progress[negative])
    half = settings.batch_size // 2
    labels = torch.cat([torch.ones(half), torch.zeros(half)]).to(device())
    optimizer = torch.optim.AdamW(judge.parameters(), lr=settings.learning_rate, weight_decay=WEIGHT_DECAY)
    first = 0
    if saved := checkpointer.load(STAGE):
        first, groups = saved
        judge.load_state_dict(groups["judge"])
        load_optimizer_tensors(optimizer, groups["optimizer"])
    for step in track(range(first, settings.steps), "judge", settings.steps, first):
        random = generator(seed, STAGE, step)
        shows = positive[torch.randint(len(positive), (half,), generator=random).numpy()]
        not_yet = negative[torch.multinomial(weight, half, replacement=True, generator=random).numpy()]
        frames = bank.images[np.concatenate([shows, not_yet])]
        logits = judge(augment(_pixels(frames), random).to(device()))
        loss = F.binary_cross_entropy_with_logits(logits, labels)
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * warmed_up_cosine(step, settings.steps)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        refuse_divergence(STAGE, step + 1, loss.item())
        if (step + 1) % LOG_EVERY == 0 or step + 1 == settings.steps:
            accuracy = ((logits > 0) == (labels > 0.5)).float().mean()
            log(step + 1, {"judge/loss": loss.item(), "judge/accuracy": accuracy.item()})
        checkpointer.save(STAGE, step + 1, {"judge": judge.state_dict(), "optimizer": optimizer_tensors(optimizer)})
    return judge.eval()


def augment(pixels_B3HW: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """Shift, blur, brightness and noise: the ways in which an imagined frame differs that are no matter of outcome."""
    batch, _, size, _ = pixels_B3HW.shape
    padded = F.pad(pixels_B3HW, (MAX_SHIFT,) * 4, mode="replicate").permute(0, 2, 3, 1)
    offsets = torch.randint(2 * MAX_SHIFT + 1, (2, batch, 1), generator=random)
    rows, columns = offsets + torch.arange(size)
    shifted = padded[torch.arange(batch)[:, None, None], rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    sigma = float(torch.rand((), generator=random)) * MAX_BLUR + 1e-3
    kernel = torch.exp(-0.5 * (torch.arange(-2, 3) / sigma) ** 2)
    kernel = kernel / kernel.sum()
    blurred = F.conv2d(F.pad(shifted, (2, 2, 2, 2), mode="replicate"), _depthwise(kernel), groups=3)
    picked = torch.where(torch.rand(batch, 1, 1, 1, generator=random) < 0.5, blurred, shifted)
    brightness = 1 + BRIGHTNESS * (2 * torch.rand(batch, 1, 1, 1, generator=random) - 1)
    noise = NOISE * torch.rand(batch, 1, 1, 1, generator=random) * torch.randn(picked.shape, generator=random)
    return (picked * brightness + noise).clamp(0, 1)


def _depthwise(kernel: torch.Tensor) -> torch.Tensor:
    return torch.outer(kernel, kernel).expand(3, 1, -1, -1).contiguous()


def _pixels(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 255
