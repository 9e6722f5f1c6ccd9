"""Shifts: all frames of a window move together, by whole cells, edges repeated."""

import torch

from worldvla.world_model.augmentation import draw_offsets, shift


def test_every_frame_of_a_window_moves_by_its_own_offset():
    latents = torch.arange(2 * 3 * 2 * 4 * 4, dtype=torch.float32).view(2, 3, 2, 4, 4)
    moved = shift(latents, torch.tensor([[1, 0], [0, -1]]))
    assert torch.equal(moved[0, :, :, :-1], latents[0, :, :, 1:])
    assert torch.equal(moved[0, :, :, -1], latents[0, :, :, -1])  # the edge is repeated
    assert torch.equal(moved[1, ..., 1:], latents[1, ..., :-1])
    assert torch.equal(moved[1, ..., 0], latents[1, ..., 0])


def test_no_offset_changes_nothing():
    latents = torch.randn(3, 2, 4, 8, 8)
    assert torch.equal(shift(latents, torch.zeros(3, 2, dtype=torch.int64)), latents)


def test_offsets_reach_both_ends_and_no_further():
    offsets = draw_offsets(500, 2, torch.Generator().manual_seed(0))
    assert offsets.shape == (500, 2)
    assert sorted(offsets.unique().tolist()) == [-2, -1, 0, 1, 2]
