import pytest
import torch

from worldvla.config import ActionNoise
from worldvla.policy.actor import PolicySpec
from worldvla.policy.noise import Draws
from worldvla.training.device import generator

ROLLOUTS, CHUNK = 4000, 4
IN_CONCERT = ActionNoise(temperature=0.6, coherence=0.8, persistence=0.7)


def places(noise: ActionNoise, chunks: int = 3, seed: int = 0) -> torch.Tensor:
    """[R, chunks, K, 7]"""
    draws = Draws(noise, ROLLOUTS, CHUNK, generator(seed))
    return torch.stack([draws.next() for _ in range(chunks)], dim=1)


def correlation(one: torch.Tensor, other: torch.Tensor) -> float:
    """Of two places [R], as normal numbers."""
    return float(torch.corrcoef(torch.special.ndtri(torch.stack([one, other])))[0, 1])


@pytest.mark.parametrize("noise", [ActionNoise.one_by_one(1.0), IN_CONCERT])
def test_each_action_is_drawn_from_its_own_distribution(noise: ActionNoise) -> None:
    drawn = places(noise)
    assert ((drawn >= 0) & (drawn <= 1)).all()
    for chunk, step, dimension in ((0, 0, 0), (0, 3, 6), (2, 1, 3)):
        tenths = torch.histc(drawn[:, chunk, step, dimension], 10, 0, 1) / ROLLOUTS
        assert (tenths - 0.1).abs().max() < 0.02


def test_actions_of_a_chunk_agree_and_chunks_remember() -> None:
    tolerance = 0.05
    drawn = places(IN_CONCERT)
    assert correlation(drawn[:, 0, 0, 2], drawn[:, 0, 3, 2]) == pytest.approx(0.8, abs=tolerance)
    assert correlation(drawn[:, 0, 0, 2], drawn[:, 1, 0, 2]) == pytest.approx(0.8 * 0.7, abs=tolerance)
    assert correlation(drawn[:, 0, 0, 2], drawn[:, 2, 0, 2]) == pytest.approx(0.8 * 0.7**2, abs=tolerance)
    assert correlation(drawn[:, 0, 0, 2], drawn[:, 0, 0, 3]) == pytest.approx(0.0, abs=tolerance)
    assert correlation(drawn[:-1, 0, 0, 2], drawn[1:, 0, 0, 2]) == pytest.approx(0.0, abs=tolerance)


def test_one_by_one_nothing_agrees() -> None:
    drawn = places(ActionNoise.one_by_one(1.0))
    assert correlation(drawn[:, 0, 0, 2], drawn[:, 0, 3, 2]) == pytest.approx(0.0, abs=0.05)
    assert correlation(drawn[:, 0, 0, 2], drawn[:, 1, 0, 2]) == pytest.approx(0.0, abs=0.05)


def test_the_generator_decides() -> None:
    assert torch.equal(places(IN_CONCERT), places(IN_CONCERT))
    assert not torch.equal(places(IN_CONCERT), places(IN_CONCERT, seed=1))


def test_an_episode_records_the_noise_that_it_was_made_under() -> None:
    def settings(noise: ActionNoise) -> dict:
        return PolicySpec("", {}, "policy", noise).settings

    assert settings(IN_CONCERT) == {"temperature": 0.6, "coherence": 0.8, "persistence": 0.7}
    # As before there was coherence, so that such episodes keep their identity.
    assert settings(ActionNoise.one_by_one(0.6)) == {"temperature": 0.6}
