"""Many iterations in few lines: nothing is lost, and only what says the same is folded."""

from worldvla.cli.folding import MANY, folded


def many(count: int, state=lambda number: "fresh", asset: str = "sans") -> list[dict]:
    return [
        {"campaign": "c", "asset": asset, "iteration": f"{n:04d}", "state": state(n), "version": "v", "seconds": 2.0}
        for n in range(count)
    ]


def test_few_rows_stay_as_they_are():
    rows = many(MANY)
    assert folded(rows, ["state"]) is rows


def test_a_stretch_ends_where_the_state_changes():
    rows = many(100, lambda number: "stale" if number == 40 else "fresh")
    lines = folded(rows, ["state"], ["seconds"])
    assert [(line["iteration"], line["state"], line["seconds"]) for line in lines] == [
        ("0000..0039", "fresh", 80.0),
        ("0040", "stale", 2.0),
        ("0041..0099", "fresh", 118.0),
    ]
    assert [line["version"] for line in lines] == [None, "v", None]


def test_a_gap_and_an_unknown_sum_show():
    rows = [row for row in many(100) if row["iteration"] != "0050"]
    rows[3]["seconds"] = None
    lines = folded(rows, ["state"], ["seconds"])
    assert [(line["iteration"], line["seconds"]) for line in lines] == [("0000..0049", None), ("0051..0099", 98.0)]


def test_assets_fold_side_by_side_and_what_has_no_iteration_stays():
    rows = [one for pair in zip(many(50), many(50, asset="judge"), strict=True) for one in pair]
    once = {"campaign": "c", "asset": "base_policy", "iteration": None, "state": "fresh", "version": "v", "seconds": 1}
    assert [line["asset"] for line in folded([once, *rows], ["state"])] == ["base_policy", "sans", "judge"]
