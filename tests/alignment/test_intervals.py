import pytest
from hypothesis import given
from hypothesis import strategies as st

from worldvla.alignment.intervals import by_task, comparison, paired_difference, proportion, wilson


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_gives_newcombes_published_values(successes, n, low, high):
    """Newcombe 1998, Statist. Med. 17:857, table I, method 3."""
    assert wilson(successes, n) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


def pairs(both, only_after, only_before, neither):
    before = [True] * both + [False] * only_after + [True] * only_before + [False] * neither
    after = [True] * both + [True] * only_after + [False] * only_before + [False] * neither
    return before, after


@pytest.mark.parametrize(
    ("cells", "low", "high"),
    [((36, 12, 2, 0), 0.0569, 0.3404), ((0, 2, 12, 36), -0.3404, -0.0569)],
)
def test_paired_difference_gives_newcombes_published_values(cells, low, high):
    """Newcombe 1998, Statist. Med. 17:2635, method 10 of the example with cells 36, 12, 2, 0; and its mirror."""
    _, *interval = paired_difference(*pairs(*cells))
    assert interval == [pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4)]


cells = st.tuples(*[st.integers(0, 12)] * 4).filter(any)


@given(cells)
def test_the_paired_interval_holds_the_difference_and_turns_with_the_order(cells):
    before, after = pairs(*cells)
    difference, low, high = paired_difference(before, after)
    assert -1 <= low <= difference + 1e-12 and difference - 1e-12 <= high <= 1
    assert paired_difference(after, before) == pytest.approx((-difference, -high, -low))


@given(st.integers(1, 200), st.data())
def test_wilson_holds_the_rate_and_narrows_with_more(n, data):
    successes = data.draw(st.integers(0, n))
    low, high = wilson(successes, n)
    assert 0 <= low <= successes / n <= high <= 1
    more_low, more_high = wilson(4 * successes, 4 * n)
    assert more_high - more_low < high - low


def test_nothing_observed_says_nothing():
    assert proportion(0, 0) == {"successes": 0, "n": 0, "rate": None, "low": 0.0, "high": 1.0}
    assert paired_difference([], []) == (0.0, -1.0, 1.0)
    with pytest.raises(ValueError):
        paired_difference([True], [])
    with pytest.raises(ValueError):
        wilson(3, 2)


def test_a_comparison_has_both_rates_and_their_paired_difference():
    base, new = [True, False, False, False], [True, True, False, True]
    told = comparison(base, new)
    assert (told["base"], told["new"]) == (proportion(1, 4), proportion(3, 4))
    difference = told["difference"]
    assert (difference["difference"], difference["low"], difference["high"]) == paired_difference(base, new)
    assert difference["n"] == 4


def test_by_task_asks_of_all_cases_and_of_each_tasks_own():
    told = by_task(["push", "pull", "push"], lambda cases: {"cases": cases})
    assert told == {"cases": [0, 1, 2], "tasks": {"pull": {"cases": [1]}, "push": {"cases": [0, 2]}}}
