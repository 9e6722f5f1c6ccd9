"""What `--json` prints is JSON that any reader takes, and what people see is what is stored."""

import json
from datetime import UTC, datetime

import numpy as np
import pytest

from worldvla.cli.output import emit


def refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def test_numbers_that_json_does_not_have_are_null(capsys):
    curve = {"mean": float("nan"), "steps": [1.5, float("inf"), np.float32("nan")], "pair": (float("-inf"), 2)}
    emit([{"psnr": np.float64("inf"), "curve": curve, "at": datetime(2026, 1, 1, tzinfo=UTC), "n": 3}], True)
    assert json.loads(capsys.readouterr().out, parse_constant=refuse) == [
        {
            "psnr": None,
            "curve": {"mean": None, "steps": [1.5, None, None], "pair": [None, 2]},
            "at": "2026-01-01T00:00:00+00:00",
            "n": 3,
        }
    ]


def test_records_side_by_side_are_told_apart(capsys):
    """What they have in common is no heading: the last one would stand for all."""
    fields = {f"field {number}": number for number in range(13)}
    emit([{"protocol": "same", "task": task, **fields, "n": n} for task, n in (("push", 20), ("pull", 30))], False)
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split() == ["task", "push", "pull"] for line in lines)
    assert any(line.split() == ["n", "20", "30"] for line in lines)
    emit([{"protocol": "same", **fields}, {"protocol": "same", **fields}], False)
    assert capsys.readouterr().out.count("same") == 2


@pytest.mark.parametrize("text", ["[/x]", "\\[/x]", "a\\", "[red]b", "\\\\[bold]c", "[link=http://x]y"])
def test_brackets_and_backslashes_in_a_table_are_text(capsys, text):
    emit([{"reason": text, text: "header"}], False, f"of {text}")
    assert capsys.readouterr().out.count(text) == 3
    emit([{"id": f"{text}{record}"} | {f"field {n}": n for n in range(13)} for record in range(2)], False)
    assert capsys.readouterr().out.count(text) == 2
