import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from worldvla.rl import grpo

binary_groups = st.integers(2, 8).flatmap(
    lambda size: st.lists(
        st.lists(st.sampled_from([0.0, 1.0]), min_size=size, max_size=size), min_size=1, max_size=6
    ).map(torch.tensor)
)


def test_outcomes_by_hand():
    reward = torch.tensor(
        [
            [0.1, 0.2, 0.9, 0.1],  # success at the third frame, gone at the fourth: still a return of 1
            [0.1, 0.2, 0.3, 0.4],
            [0.1, 0.2, 0.3, 0.9],  # only after its last step
            [0.5, 0.0, 0.0, 0.0],
            [0.6, 0.6, 0.7, 0.0],  # of another task, whose threshold is higher
        ]
    )
    returns, length = grpo.outcomes(reward, torch.tensor([4, 4, 2, 4, 4]), torch.tensor([0.5, 0.5, 0.5, 0.5, 0.7]))
    assert returns.tolist() == [1, 0, 0, 1, 1]
    assert length.tolist() == [3, 4, 2, 1, 3]


def test_advantage_by_hand():
    advantage = grpo.group_advantages(torch.tensor([[1.0, 0, 0, 0], [1, 1, 1, 1]]))
    assert advantage.tolist() == [[0.75, -0.25, -0.25, -0.25], [0, 0, 0, 0]]


@given(binary_groups)
def test_advantages_sum_to_zero_and_uniform_groups_are_dropped(returns):
    advantage = grpo.group_advantages(returns)
    assert torch.allclose(advantage.sum(dim=1), torch.zeros(len(returns)), atol=1e-5)
    assert torch.equal(grpo.informative_groups(returns), advantage.abs().sum(dim=1) > 1e-6)


@given(st.integers(1, 24), st.sampled_from([1, 2, 4, 8]))
def test_step_weights_of_a_trajectory_sum_to_one(length, chunk):
    chunks = -(-length // chunk)
    weight = grpo.step_weights(torch.full((chunks,), length), torch.arange(chunks) * chunk, chunk)
    assert weight.sum().item() == pytest.approx(1)
    assert (weight.flatten() > 0).tolist() == [step < length for step in range(chunks * chunk)]


def test_masked_steps_have_no_gradient():
    log_prob = torch.zeros(2, 4, 7, requires_grad=True)
    weight = grpo.step_weights(torch.tensor([6, 6]), torch.tensor([0, 4]), 4)
    grpo.surrogate(log_prob, torch.zeros(2, 4, 7), torch.tensor([1.0, 1.0]), weight, 0.2, 0.28).loss.backward()
    assert (log_prob.grad[0] != 0).all() and (log_prob.grad[1, :2] != 0).all() and (log_prob.grad[1, 2:] == 0).all()


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "moves"),
    [
        (1.0, 1.0, -1.0, True),
        (1.25, 1.0, -1.25, True),  # beyond 1 + 0.2, within 1 + 0.28: the upper side is the wider one
        (1.4, 1.0, -1.28, False),
        (0.5, 1.0, -0.5, True),
        (0.9, -1.0, 0.9, True),
        (0.75, -1.0, 0.8, False),
        (1.4, -1.0, 1.4, True),
    ],
)
def test_clipping_is_asymmetric_and_one_sided(ratio, advantage, loss, moves):
    log_prob = torch.full((1, 1, 1), ratio).log().requires_grad_()
    result = grpo.surrogate(log_prob, torch.zeros(1, 1, 1), torch.tensor([advantage]), torch.ones(1, 1), 0.2, 0.28)
    result.loss.backward()
    assert result.loss.item() == pytest.approx(loss, rel=1e-5)
    assert (log_prob.grad.item() != 0) == moves
    assert result.clip_fraction == float(not moves) and result.ratio == pytest.approx(ratio)


def test_divergence_is_that_of_torch():
    torch.manual_seed(0)
    policy, base = torch.randn(2, 3, 4, 7, 5).log_softmax(-1)
    expected = torch.nn.functional.kl_div(base, policy, log_target=True, reduction="none").sum(-1).mean()
    torch.testing.assert_close(grpo.divergence(policy, base), expected)
    assert grpo.divergence(policy, policy).item() == 0
