import numpy as np
import pytest

from benchmarks.within_start import within_start

START = np.repeat(np.arange(20), 4)
HAPPENED = np.arange(80) % 4 < START % 4  # of starts 0, 4, ... none, of the others one, two or three of four


def figures(score: np.ndarray, told: np.ndarray) -> dict[str, dict]:
    return {one["name"]: one for one in within_start("toy", score, told, HAPPENED, START)}


def test_the_truth_orders_every_start() -> None:
    told = figures(HAPPENED.astype(float), HAPPENED)
    order, advantages = told["toy: success above failure of one start"], told["toy: correlation of advantages"]
    assert (order["value"], order["n"], order["interval"]) == (1, 15, (1, 1))
    assert (advantages["value"], advantages["n"]) == (pytest.approx(1), 20)


def test_to_know_how_hard_a_start_is_says_nothing_of_its_rollouts() -> None:
    told = figures((START % 4).astype(float), START % 4 > 1)
    assert told["toy: success above failure of one start"]["value"] == 0.5
    assert "toy: correlation of advantages" not in told


def test_the_interval_is_as_wide_as_the_starts_differ() -> None:
    random = np.random.default_rng(0)
    values, inside = [], 0
    for _ in range(200):
        score = HAPPENED + random.normal(0, 1.5, 80) + 5 * START
        order = figures(score, random.random(80) < 0.5)["toy: success above failure of one start"]
        values.append(order["value"])
        low, high = order["interval"]
        inside += low <= 0.6814 <= high  # the normal distribution function at 1 / (1.5 sqrt 2)
    assert np.mean(values) == pytest.approx(0.6814, abs=0.02)
    assert 175 <= inside <= 198


def test_one_start_alone_has_no_interval() -> None:
    one = slice(4, 8)
    told = within_start("toy", np.arange(4.0), HAPPENED[one], HAPPENED[one], START[one])
    assert [figure["interval"] for figure in told] == [None, None]
    assert within_start("toy", np.arange(4.0), np.ones(4, bool), np.zeros(4, bool), np.zeros(4)) == []
