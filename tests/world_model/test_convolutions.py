"""The convolutions around the tokens: what they start as, and where transport takes its features from."""

import torch
import torch.nn.functional as F

from worldvla.world_model.convolutions import CHANNELS, MOVED_CHANNELS, Draw, Look, Transport

FRAMES, SIZE = 3, 6


def test_transport_takes_from_where_the_displacement_points():
    torch.manual_seed(0)
    transport = Transport(latent_channels=4)
    sources = torch.randn(2, 2, 4, SIZE, SIZE)
    joined = torch.zeros(2 * FRAMES, CHANNELS, SIZE, SIZE)
    with torch.no_grad():
        features = F.silu(transport.features(sources.flatten(0, 1))).unflatten(0, (2, 2))
        still = transport(joined, sources)
        # One latent to the right in the latest frame, half of one upwards in the anchor.
        transport.displacement.bias.copy_(torch.tensor([1.0, 0.0, 0.0, -0.5]))
        moved = transport(joined, sources)
    assert moved.shape == (2 * FRAMES, 2 * MOVED_CHANNELS, SIZE, SIZE)
    for frame in range(2 * FRAMES):
        latest, anchor = features[frame // FRAMES]
        torch.testing.assert_close(still[frame], torch.cat([latest, anchor]))
        right = torch.cat([latest[:, :, 1:], latest[:, :, -1:]], dim=2)
        above = torch.cat([anchor[:, :1], anchor[:, :-1]], dim=1)
        torch.testing.assert_close(moved[frame], torch.cat([right, (anchor + above) / 2]), atol=1e-5, rtol=1e-5)


def test_drawing_starts_as_zero_and_learns_where_to_take_from():
    torch.manual_seed(0)
    draw = Draw(latent_channels=4)
    decided, seen = torch.randn(2, 2 * FRAMES, CHANNELS, SIZE, SIZE)
    body, sources = torch.randn(2 * FRAMES, 4, SIZE, SIZE), torch.randn(2, 2, 4, SIZE, SIZE)
    assert not draw(decided, seen, body, sources).any()
    with torch.no_grad():
        draw.last.weight.add_(0.1)
    draw(decided, seen, body, sources).square().sum().backward()
    assert draw.transport.displacement.weight.grad.abs().max() > 0


def test_looking_starts_without_its_embedding_and_its_second_half():
    torch.manual_seed(0)
    look = Look(inputs=9, width=16)
    stacked, embedded = torch.randn(5, 9, SIZE, SIZE), torch.randn(5, 16)
    torch.testing.assert_close(look(stacked, embedded), F.silu(look.first(stacked)))
    with torch.no_grad():
        look.third.weight.add_(0.1)
        look.modulation.weight.add_(0.1)
    assert (look(stacked, embedded) - look(stacked, embedded + 1)).abs().max() > 1e-3
