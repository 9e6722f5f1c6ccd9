"""The vision-language-action policy: a small OpenVLA-OFT.

A SigLIP vision tower encodes the image; squares of 2 x 2 patches, projected to the
language model's width, form one sequence with K learned action queries and the
instruction's bytes in runs of four (ByT5's tokenizer needs no vocabulary file). A Llama
whose attention is bidirectional reads the sequence once, and a head turns the hidden
state of each query into logits for the 7 dimensions of one action: parallel decoding of
an action chunk (Kim et al. 2025,
"Fine-Tuning Vision-Language-Action Models: Optimizing Speed and Success", section IV).
OpenVLA-OFT spends 7 queries an action; one an action gives the same factorization, since
all are decoded at once, at a seventh of the query tokens.

The tower learns from some thousand frames, so it starts from what would otherwise have
to be learned first: two strided convolutions before the patches (Xiao et al. 2021, "Early
Convolutions Help Transformers See Better") and positions initialized to sines of the
grid's coordinates (Beyer et al. 2022, "Better plain ViT baselines for ImageNet-1k"). And
two things are added to the queries that say where things are: a linear readout of the whole
patch grid, without which hundreds of steps pass before attention finds a small object at
all, and keypoints, which place an object between the patches (docs/experiments.md).

No proprioception: an imagined frame has none.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import nn
from transformers import ByT5Tokenizer, LlamaConfig, LlamaModel, SiglipVisionConfig, SiglipVisionModel

from worldvla.config import PolicyArchitecture
from worldvla.episodes.images import resize
from worldvla.policy.discretization import to_actions
from worldvla.policy.keypoints import STEM_CHANNELS, STEM_STRIDE, Keypoints, Sight, stem
from worldvla.training import weights
from worldvla.training.device import fast_dtype

ACTION_DIM = 7
READOUT_CHANNELS = 16
BYTES_PER_TOKEN = 4
MAX_INSTRUCTION_BYTES = 128
# On a processor the backward pass of torch's fused attention costs more than all the rest of the network.
ATTENTION = "sdpa" if torch.cuda.is_available() else "eager"
TOKENIZER = ByT5Tokenizer(extra_ids=0)


@dataclass(frozen=True)
class ActionChunk:
    """B chunks of K actions: `tokens` int64, `actions` float32, `log_prob` float32, each [B, K, 7]."""

    tokens: torch.Tensor
    actions: torch.Tensor
    log_prob: torch.Tensor


class Policy(nn.Module):
    """Image and instruction in, a chunk of discretized actions out.

    `config` is JSON-able and complete: with `to_bytes()` it is all that `from_bytes` needs.
    Weights are initialized from torch's global generator.
    """

    def __init__(self, config: dict):
        super().__init__()
        self.config = config
        self.image_size, self.chunk, self.bins = config["image_size"], config["chunk"], config["bins"]
        width = config["width"]
        self.stem = stem()
        self.vision = SiglipVisionModel(
            SiglipVisionConfig(
                hidden_size=width,
                intermediate_size=4 * width,
                num_hidden_layers=config["vision_layers"],
                num_attention_heads=config["heads"],
                num_channels=STEM_CHANNELS,
                image_size=config["image_size"] // STEM_STRIDE,
                patch_size=config["patch"] // STEM_STRIDE,
                vision_use_head=False,
                attn_implementation=ATTENTION,
            )
        )
        positions = self.vision.embeddings.position_embedding.weight
        positions.data.copy_(_grid_sines(math.isqrt(len(positions)), width))
        self.projector = nn.Sequential(nn.Linear(4 * width, width), nn.GELU(), nn.Linear(width, width))
        self.readout = nn.Sequential(
            nn.Linear(width, READOUT_CHANNELS), nn.Flatten(), nn.Linear(READOUT_CHANNELS * len(positions), width)
        )
        self.keypoints = Keypoints(width)
        self.text_projector = nn.Linear(BYTES_PER_TOKEN * width, width)
        self.queries = nn.Parameter(torch.randn(self.chunk, width) * 0.5)
        self.language = LlamaModel(
            LlamaConfig(
                vocab_size=len(TOKENIZER),
                hidden_size=width,
                intermediate_size=8 * width // 3,
                num_hidden_layers=config["language_layers"],
                num_attention_heads=config["heads"],
                # The default, 0.02, is for widths of thousands: here it would leave attention blind for long.
                initializer_range=width**-0.5,
                use_cache=False,
                attn_implementation=ATTENTION,
            )
        )
        self.head = nn.Linear(width, ACTION_DIM * self.bins)

    @classmethod
    def create(cls, architecture: PolicyArchitecture, chunk: int, seed: int) -> "Policy":
        """An untrained policy; its weights are a pure function of (architecture, chunk, seed)."""
        names = ("image_size", "patch", "width", "vision_layers", "language_layers", "heads", "bins")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls({name: getattr(architecture, name) for name in names} | {"chunk": chunk})

    def to_bytes(self) -> bytes:
        return weights.to_bytes(self.state_dict())

    @classmethod
    def from_bytes(cls, config: dict, data: bytes) -> "Policy":
        """On the CPU; raises `UserError` where the bytes are no weights or differ from what the configuration says."""
        with torch.random.fork_rng(devices=[]):
            return weights.build(cls, config, data)

    def sight(self) -> Sight:
        """A copy of what finds keypoints in pictures, on the CPU."""
        sight = Sight(self.image_size)
        sight.stem.load_state_dict(self.stem.state_dict())
        sight.maps.load_state_dict(self.keypoints.maps.state_dict())
        return sight.eval()

    def freeze_encoders(self) -> None:
        """Leaves what encodes pictures and instructions without gradients; where things lie is still learned to be read
        from it (`readout`, `keypoints`)."""
        for encoder in (self.stem, self.vision, self.projector, self.text_projector):
            encoder.requires_grad_(False)

    @property
    def device(self) -> torch.device:
        return self.queries.device

    def pixels(self, images: np.ndarray) -> torch.Tensor:
        """uint8 [B, H, W, 3] of any size to uint8 [B, 3, S, S] on the policy's device."""
        if images.shape[1:3] != (self.image_size, self.image_size):
            images = np.stack([resize(image, self.image_size) for image in images])
        return torch.from_numpy(np.ascontiguousarray(images)).to(self.device).permute(0, 3, 1, 2)

    def text(self, instructions: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """B instructions to int64 [B, 4 L] bytes padded at the end, and bool [B, L] true where a run of 4 has any."""
        encoded = [_encode(instruction) for instruction in instructions]
        runs = -(-max(map(len, encoded)) // BYTES_PER_TOKEN)
        tokens = torch.full((len(encoded), runs * BYTES_PER_TOKEN), TOKENIZER.pad_token_id)
        for row, ids in enumerate(encoded):
            tokens[row, : len(ids)] = torch.tensor(ids)
        present = tokens[:, ::BYTES_PER_TOKEN] != TOKENIZER.pad_token_id
        return tokens.to(self.device), present.to(self.device)

    def forward(self, pixels: torch.Tensor, tokens: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        """Logits float32 [B, K, 7, bins] of `pixels` uint8 [B, 3, S, S] and the outputs of `text`."""
        dtype = fast_dtype(self.device)
        with torch.autocast(self.device.type, dtype=dtype, enabled=dtype != torch.float32):
            features = self.stem(pixels.float() / 127.5 - 1)
            grid_BGW = self.vision(features).last_hidden_state
            patches_BPW = self.projector(_merge_squares(grid_BGW))
            where_BW = self.readout(grid_BGW) + self.keypoints(features)
            queries_BKW = self.queries.to(patches_BPW.dtype) + where_BW[:, None]
            bytes_BLRW = self.language.embed_tokens(tokens).unflatten(1, (-1, BYTES_PER_TOKEN))
            text_BLW = self.text_projector(bytes_BLRW.flatten(2))
            sequence = torch.cat([patches_BPW, queries_BKW, text_BLW], dim=1)
            always = present.new_ones(len(pixels), patches_BPW.shape[1] + self.chunk)
            visible = torch.cat([always, present], dim=1)
            # A ready-made four-dimensional mask is the only thing LlamaModel does not turn causal.
            mask = torch.zeros(visible.shape, dtype=sequence.dtype, device=self.device).masked_fill(~visible, -1e9)
            mask = mask[:, None, None, :].expand(-1, 1, visible.shape[1], -1)
            hidden = self.language(inputs_embeds=sequence, attention_mask=mask).last_hidden_state
        states = hidden[:, patches_BPW.shape[1] :][:, : self.chunk].float()
        with torch.autocast(self.device.type, enabled=False):
            return self.head(states).unflatten(-1, (ACTION_DIM, self.bins))

    @torch.no_grad()
    def act(
        self,
        images: np.ndarray,
        instructions: list[str],
        temperature: float,
        places: torch.Tensor | None = None,
    ) -> ActionChunk:
        """A chunk for each of `images` uint8 [B, H, W, 3]; results are on the CPU.

        `temperature` divides the logits, and `log_prob` is under the distribution so made;
        0 takes the most likely bin, with log-probability 0, and needs no `places`: float32 [B, K, 7] on
        the CPU, where in its distribution each action lies (`worldvla.policy.noise`). Raises ValueError
        without them at any other temperature.
        """
        logits = self(self.pixels(images), *self.text(instructions)).cpu()
        if temperature == 0:
            tokens = logits.argmax(-1)
            return ActionChunk(tokens, to_actions(tokens, self.bins), torch.zeros(tokens.shape))
        log_probs = torch.log_softmax(logits / temperature, dim=-1)
        if places is None:
            raise ValueError(f"at temperature {temperature:g} actions are drawn, so `places` must say where")
        tokens = (log_probs.exp().cumsum(-1) < places[..., None]).sum(-1).clamp(max=self.bins - 1)
        log_prob = log_probs.gather(-1, tokens[..., None])[..., 0]
        return ActionChunk(tokens, to_actions(tokens, self.bins), log_prob)

    def log_prob(
        self, images: np.ndarray, instructions: list[str], tokens: torch.Tensor, temperature: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-probability and entropy (nats), each float32 [B, K, 7], of given `tokens`, with gradients."""
        log_probs = self.log_probs(images, instructions, temperature)
        entropy = -(log_probs.exp() * log_probs).sum(-1)
        return log_probs.gather(-1, tokens.to(self.device)[..., None])[..., 0], entropy

    def log_probs(self, images: np.ndarray, instructions: list[str], temperature: float) -> torch.Tensor:
        """Log-probabilities float32 [B, K, 7, bins] of all actions, with gradients."""
        logits = self(self.pixels(images), *self.text(instructions))
        return torch.log_softmax(logits / temperature, dim=-1)


def _merge_squares(patches: torch.Tensor) -> torch.Tensor:
    """[B, G * G, W] to [B, G * G / 4, 4 W]: each 2 x 2 square of the grid becomes one token, nothing averaged."""
    side = math.isqrt(patches.shape[1]) // 2
    squares = patches.unflatten(1, (side, 2, side, 2)).transpose(2, 3)
    return squares.flatten(3, 5).flatten(1, 2)


def _grid_sines(side: int, width: int) -> torch.Tensor:
    """float32 [side * side, width]: sines and cosines of row and column, width / 4 frequencies each."""
    angle = torch.arange(side)[:, None] * 100.0 ** -torch.linspace(0, 1, width // 4)
    waves = torch.cat([angle.sin(), angle.cos()], dim=1)
    rows, columns = waves[:, None].expand(-1, side, -1), waves[None].expand(side, -1, -1)
    return torch.cat([rows, columns], dim=2).flatten(0, 1)


@lru_cache(maxsize=1024)
def _encode(instruction: str) -> tuple[int, ...]:
    """An instruction's byte tokens, at most MAX_INSTRUCTION_BYTES and the end-of-sequence token."""
    return tuple(TOKENIZER(instruction, truncation=True, max_length=MAX_INSTRUCTION_BYTES + 1)["input_ids"])
