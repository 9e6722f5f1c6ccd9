import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worldvla.lake.digests import canonical_json, digest, rows_version, set_version

ids = st.text("0123456789abcdef", min_size=4, max_size=8)
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(st.lists(st.tuples(ids, ids), max_size=6), st.randoms())
def test_a_set_is_named_by_its_members_alone(pairs: list, random) -> None:
    shuffled = random.sample(pairs, len(pairs))
    assert set_version(shuffled) == set_version(pairs) == set_version(pairs + pairs[:2])
    assert set_version([*pairs, ("new", "content")]) != set_version(pairs)


@given(st.lists(st.dictionaries(st.text(), st.integers(), max_size=3), max_size=5), st.randoms())
def test_rows_are_named_whatever_their_order_but_counted(rows: list, random) -> None:
    assert rows_version(random.sample(rows, len(rows))) == rows_version(rows)
    assert rows_version([*rows, {}]) != rows_version(rows)


@given(plain)
def test_canonical_json_is_json_and_says_nothing_about_key_order(value) -> None:
    text = canonical_json({"b": value, "a": 1})
    assert text == canonical_json({"a": 1, "b": value})
    assert list(json.loads(text)) == ["a", "b"]


def test_numpy_values_digest_as_plain_ones_and_strangers_are_refused() -> None:
    assert digest({"x": np.float64(0.5), "y": np.arange(3)}) == digest({"x": 0.5, "y": [0, 1, 2]})
    assert len(digest({})) == 32
    with pytest.raises(TypeError):
        digest(object())
