"""The video transformer: Cosmos' blocks over a chunk of latent frames, conditioned on history and actions.

A chunk of K actions leads to F = K / s frames: every s-th is imagined (`frame_stride`). What lies
between costs as much as what matters, and a policy that acts by the chunk never sees it; every
fourth frame and four times the windows fitted what every frame could not (docs/experiments.md).

History (first-frame anchor, then the latest frames) stands beside each noisy frame, channel
by channel, instead of before it as further frames: attention then runs over the chunk's own
tokens only, and copying the still background needs no attention at all. The noise level put
on the history is one more channel.

What the robot's body will look like stands there, too (`embodiment.py`). Around the tokens stand
convolutions that look and draw latent by latent (`convolutions.py`).

Poses enter as the actions do, and so does the scene: where things lie in the first frame, by the
base policy's keypoints (`contact.py`). The pictures of both say it to a latent; whether fingers close
on a thing or beside it, and whether a hand pushes a cube or passes it, is a matter of less.

Actions enter twice (WoVR, arXiv 2602.13977): added to each frame's timestep embedding
(AdaLN), and as cross-attention tokens: for each frame the s actions that lead to it from the
one before. With them go the sums of all actions since the chunk's start and since the first
frame: actions are displacements, so the anchor and this sum say where the arm is, however
much the imagined frames between have blurred.

Shapes: B batch, K actions, F frames, S tokens a frame, D width, C latent channels.
"""

import torch
import torch.nn.functional as F
from diffusers import CosmosTransformer3DModel
from torch import nn

from worldvla.training.fusion import fused
from worldvla.world_model.convolutions import CHANNELS, Draw, Look

SIGMA_SCALE = 1000.0  # Cosmos' sinusoidal embedding expects timesteps of 0 to 1000
# Divisors that bring the sums of actions over a chunk and over an episode to about unit size.
CHUNK_SCALE = 2.0
TRAVEL_SCALE = 10.0


class ChunkAttention:
    """Attention processor of Cosmos' blocks: self-attention over the chunk, cross-attention to the actions.

    Positions are learned and added to the tokens, so nothing is rotated here.
    """

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None):
        source = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query, key, value = (
            projection(inputs).unflatten(2, (attn.heads, -1)).transpose(1, 2)
            for projection, inputs in ((attn.to_q, hidden_states), (attn.to_k, source), (attn.to_v, source))
        )
        mixed = attend(attn.norm_q(query), attn.norm_k(key), value)
        return attn.to_out[0](mixed.transpose(1, 2).flatten(2))


def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Softmax attention of [B, heads, tokens, d].

    On a processor by plain products: a chunk has so few tokens that they beat torch's flash
    kernel, whose backward pass in bfloat16 is four to ten times slower there.
    """
    if query.is_cuda:
        return F.scaled_dot_product_attention(query, key, value)
    query, key, value_flat = query.flatten(0, 1), key.flatten(0, 1), value.flatten(0, 1)
    nothing = query.new_zeros(())
    scores = torch.baddbmm(nothing, query, key.transpose(1, 2), beta=0, alpha=query.shape[-1] ** -0.5)
    return torch.bmm(scores.softmax(-1), value_flat).unflatten(0, value.shape[:2])


class ChunkTransformer(CosmosTransformer3DModel):
    """The network of `flow.py` for one chunk: noisy latents [B, F, C, h, w] to its output, the same shape."""

    def __init__(
        self,
        latent_channels: int,
        latent_size: int,
        chunk: int,
        frame_stride: int,
        action_dim: int,
        layers: int,
        heads: int,
        head_dim: int,
        patch: int,
        history: int,
        pose_dim: int,
        scene_dim: int,
    ):
        width, frames = heads * head_dim, chunk // frame_stride
        super().__init__(
            in_channels=CHANNELS,
            out_channels=CHANNELS,
            num_attention_heads=heads,
            attention_head_dim=head_dim,
            num_layers=layers,
            text_embed_dim=width,
            adaln_lora_dim=width // 4,
            max_size=(frames, latent_size, latent_size),
            patch_size=(1, patch, patch),
            rope_scale=(1.0, 1.0, 1.0),
            concat_padding_mask=False,
            extra_pos_embed_type=None,
        )
        self.frame_stride = frame_stride
        self.look = Look(latent_channels * (4 + history) + 1, width)
        self.draw = Draw(latent_channels)
        self.position = nn.Parameter(torch.randn(1, frames, (latent_size // patch) ** 2, width) * 0.02)
        features = (frame_stride + 2) * action_dim + 2 * pose_dim + scene_dim
        self.action_modulation = nn.Sequential(
            nn.Linear(features, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 4 * width)
        )
        self.action_tokens = nn.Sequential(nn.Linear(features, width), nn.SiLU(), nn.Linear(width, width))
        self.action_position = nn.Parameter(torch.randn(1, frames, width) * 0.02)
        for block in self.transformer_blocks:
            for attention in (block.attn1, block.attn2):
                attention.set_processor(ChunkAttention())
                # One fused kernel, where RMS normalization takes five passes on a processor.
                attention.norm_q = nn.LayerNorm(head_dim, bias=False)
                attention.norm_k = nn.LayerNorm(head_dim, bias=False)
        self._initialize(width)

    def _initialize(self, width: int) -> None:
        """Every block starts as the identity (adaLN-Zero, Peebles and Xie 2023, arXiv 2212.09748): shift, scale and
        gate 0. What modulates it starts at 1."""
        for block in self.transformer_blocks:
            for norm in (block.norm1, block.norm2, block.norm3):
                nn.init.zeros_(norm.linear_2.weight)
        nn.init.zeros_(self.norm_out.linear_2.weight)
        nn.init.zeros_(self.time_embed.t_embedder.linear_2.weight)
        modulation = self.action_modulation[-1]
        nn.init.zeros_(modulation.weight)
        nn.init.zeros_(modulation.bias)
        nn.init.ones_(modulation.bias[3 * width :])

    def forward(
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
        """The network's output for noisy latents [B, F, C, h, w] at noise levels `sigma` [B].

        `context` [B, 1 + history, C, h, w] is the anchor, which has no noise, and the latest frames,
        noised to `context_sigma` [B]; `actions` [B, K, A] lead to the F frames, `travelled` [B, A] is the
        sum of all actions before them since the anchor; `body` [B, 1 + F, C, h, w] shows the robot
        now and in the F frames, `poses` [B, 1 + F, pose_dim] says where it is, and `scene` [B, scene_dim]
        where things lie in the anchor, both to about unit size.
        """
        batch, frames, _, height, width = noisy.shape
        taken = actions.unflatten(1, (frames, self.frame_stride))
        moved = taken.sum(2).cumsum(1)
        features = [taken.flatten(2), moved / CHUNK_SCALE, (travelled[:, None] + moved) / TRAVEL_SCALE]
        features += [one[:, None].expand(-1, frames, -1) for one in (poses[:, 0], scene)] + [poses[:, 1:]]
        features = torch.cat(features, dim=-1)
        modulation, embedding = self.action_modulation(features).split([3 * self.width, self.width], dim=-1)
        time_modulation, time_embedding = self.time_embed(noisy, sigma * SIGMA_SCALE)
        action_tokens = self.action_tokens(features)
        action_tokens = action_tokens + self.action_position.to(action_tokens.dtype)
        temb = (time_modulation[:, None] + modulation)[:, :, None].to(action_tokens.dtype)
        embedded = (time_embedding[:, None] + embedding)[:, :, None].to(action_tokens.dtype)

        level = context_sigma.to(context.dtype)[:, None, None, None].expand(-1, 1, height, width)
        body = body.to(noisy.dtype)
        beside = torch.cat([context.flatten(1, 2), body[:, 0], level], dim=1)
        stacked = torch.cat([noisy, body[:, 1:], beside[:, None].expand(-1, frames, -1, -1, -1)], dim=2)
        seen = self.look(stacked.flatten(0, 1), embedded.flatten(0, 2))
        tokens_BFSD = self.patch_embed(seen.unflatten(0, (batch, frames)).transpose(1, 2)).flatten(2, 3)
        tokens_BFSD = tokens_BFSD + self.position.to(tokens_BFSD.dtype)

        for block in self.transformer_blocks:
            tokens_BFSD = apply_block(block, tokens_BFSD, embedded, temb, action_tokens)
        tokens_BFSD = self.norm_out(tokens_BFSD, embedded, temb)
        patch = self.config.patch_size[-1]
        decided = self.proj_out(tokens_BFSD).unflatten(-1, (patch, patch, CHANNELS))
        decided = decided.unflatten(2, (height // patch, width // patch))
        decided = decided.permute(0, 1, 6, 2, 4, 3, 5).reshape(batch * frames, CHANNELS, height, width)
        sources = torch.stack([context[:, -1], context[:, 0]], dim=1).to(decided.dtype)
        return self.draw(decided, seen, body[:, 1:].flatten(0, 1), sources).unflatten(0, (batch, frames))

    @property
    def width(self) -> int:
        return self.config.num_attention_heads * self.config.attention_head_dim


@fused
def apply_block(block, tokens_BFSD, embedded, temb, action_tokens):
    """One Cosmos block with its modulation computed once a frame instead of once a token."""
    frames = tokens_BFSD.shape[1]
    normed, gate = modulate(block.norm1, tokens_BFSD, embedded, temb)
    mixed = block.attn1(normed.flatten(1, 2)).unflatten(1, (frames, -1))
    tokens_BFSD = torch.addcmul(tokens_BFSD, gate, mixed)
    normed, gate = modulate(block.norm2, tokens_BFSD, embedded, temb)
    mixed = block.attn2(normed.flatten(1, 2), encoder_hidden_states=action_tokens).unflatten(1, (frames, -1))
    tokens_BFSD = torch.addcmul(tokens_BFSD, gate, mixed)
    normed, gate = modulate(block.norm3, tokens_BFSD, embedded, temb)
    return torch.addcmul(tokens_BFSD, gate, block.ff(normed))


def modulate(norm, tokens_BFSD, embedded, temb):
    """A `CosmosAdaLayerNormZero` in fewer passes: (normed, shifted and scaled tokens, gate)."""
    shift, scale, gate = (norm.linear_2(norm.linear_1(norm.activation(embedded))) + temb).chunk(3, dim=-1)
    return torch.addcmul(shift, norm.norm(tokens_BFSD), 1 + scale), gate
