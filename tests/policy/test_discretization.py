import torch
from hypothesis import given
from hypothesis import strategies as st

from worldvla.policy.discretization import to_actions, to_tokens

odd = st.integers(1, 64).map(lambda half: 2 * half + 1)


@given(odd)
def test_tokens_survive_the_round_trip_and_zero_is_exact(bins):
    tokens = torch.arange(bins)
    actions = to_actions(tokens, bins)
    assert torch.equal(to_tokens(actions, bins), tokens)
    assert actions[0] == -1 and actions[bins // 2] == 0 and actions[-1] == 1


@given(st.floats(-2, 2, width=32), odd)
def test_an_action_moves_by_at_most_half_a_bin(action, bins):
    clipped = max(-1.0, min(1.0, action))
    assert abs(to_actions(to_tokens(torch.tensor(action), bins), bins).item() - clipped) <= 1 / (bins - 1) + 1e-6
