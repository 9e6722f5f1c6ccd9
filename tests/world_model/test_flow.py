"""Rectified flow's algebra."""

import torch

from worldvla.training.device import generator
from worldvla.world_model.flow import flow_weight, preconditioning, reward_weight, sample_sigma, schedule


def test_reward_weight_falls_from_data_to_noise():
    weights = reward_weight(torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0]))
    assert torch.equal(weights[[0, 2, 4]], torch.tensor([1.0, 0.5, 0.0]))
    assert (weights.diff() < 0).all()


def test_from_pure_noise_the_network_predicts_the_data_itself():
    c_in, c_skip, c_out = preconditioning(torch.tensor([1.0, 0.0]))
    assert torch.equal(c_skip, torch.tensor([0.0, 1.0]))
    assert torch.equal(c_out, torch.tensor([1.0, 0.0]))
    assert torch.equal(c_in, torch.ones(2))


def test_inputs_and_targets_of_the_network_have_unit_variance_at_every_level():
    random = torch.Generator().manual_seed(0)
    data, noise = torch.randn(2, 200_000, generator=random)
    for sigma in torch.tensor([0.1, 0.4, 0.7, 1.0]):
        c_in, c_skip, c_out = preconditioning(sigma)
        noisy = (1 - sigma) * data + sigma * noise
        target = (data - c_skip * noisy) / c_out
        assert abs(float((c_in * noisy).std()) - 1) < 0.01
        assert abs(float(target.std()) - 1) < 0.01


def test_weighted_velocity_error_is_the_networks_own_error():
    sigma, wrong = torch.tensor(0.3), torch.tensor(0.7)
    _, _, c_out = preconditioning(sigma)
    velocity_error = c_out * wrong / sigma
    assert torch.isclose(flow_weight(sigma) * velocity_error**2, wrong**2)


def test_noise_levels_are_a_function_of_the_generator_and_include_pure_noise():
    first, second = (sample_sigma(1000, generator(3, "dynamics", 7)) for _ in range(2))
    assert torch.equal(first, second)
    assert 0 < first.min() and first.max() == 1
    assert 0.55 < float((first == 1).float().mean()) < 0.65


def test_schedule_runs_from_noise_to_data():
    assert schedule(4) == [1.0, 0.75, 0.5, 0.25, 0.0]
