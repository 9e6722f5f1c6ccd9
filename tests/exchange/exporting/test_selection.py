from pathlib import Path

import pytest

from tests.factories import synthetic_lake
from worldvla.errors import UserError
from worldvla.exchange.exporting.run import episodes
from worldvla.exchange.exporting.selection import Selection, chosen, of_audit, of_episodes, of_sans
from worldvla.lake.retractions import retract_episodes
from worldvla.lake.store import Lake


def test_an_audits_episodes_come_in_its_order_each_once(lake: Lake) -> None:
    selection = of_audit(lake, "near_success", {"campaign": "demo", "iteration": "1"})
    ids = [row["episode_id"] for row in selection.rows]
    assert len(set(ids)) == len(ids) == 15
    assert {row["label"] for row in selection.rows} == {"success", "near_success", "failure"}


def test_an_audit_that_names_no_episodes_is_refused(lake: Lake) -> None:
    with pytest.raises(UserError, match="audit loop_progress does not name episodes: it has no column episode_id"):
        of_audit(lake, "loop_progress", {"campaign": "demo"})


def test_a_sans_of_an_iteration_is_what_that_iteration_trained_on(lake: Lake) -> None:
    first, second = of_sans(lake, "demo/0"), of_sans(lake, "demo/0001")
    assert len(first.rows) == 9
    assert len(second.rows) == 15
    assert len(of_sans(lake, "demo/1/train").rows) == 15
    assert of_sans(lake, "demo/1/heldout").rows == []


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("demo/7", "there is no such SANS; there is demo/0000, demo/0001"),
        ("typo/1/train", "there is no such SANS; there is demo/0000, demo/0001"),
        ("demo", "write CAMPAIGN/ITERATION"),
        ("demo/1/test", "there is no split 'test'; the splits are train, validation, heldout"),
    ],
)
def test_a_sans_that_is_not_there_is_named_with_those_that_are(lake: Lake, place: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        of_sans(lake, place)


def test_an_episode_says_where_it_comes_from(lake: Lake) -> None:
    rows = chosen(lake, of_sans(lake, "demo/1")).rows
    fed_back = next(row for row in rows if row["source"] == "policy" and row["seed"] >= 100)
    assert (fed_back["asset"], fed_back["campaign"], fed_back["iteration"]) == ("policy_rollouts", "demo", "0000")
    assert (fed_back["sans"], fed_back["split"], fed_back["label"]) == ("demo/0001", "train", "success")
    assert fed_back["policy_id"] == fed_back["actor"]
    expert = next(row for row in rows if row["source"] == "expert")
    assert (expert["asset"], expert["campaign"], expert["iteration"]) == ("demonstrations", "demo", "")
    assert len(expert["content_digest"]) == 64


def test_the_tables_are_those_that_answered(tmp_path: Path) -> None:
    lake = synthetic_lake(tmp_path / "lake")
    asked = of_sans(lake, "demo/1")
    retract_episodes(lake, [asked.rows[0]["episode_id"]], "camera moved")
    assert chosen(lake, asked).tables == asked.tables != lake.versions()


def test_what_comes_while_an_export_chooses_is_not_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The versions that worldvla.json names are those that answered."""
    lake = synthetic_lake(tmp_path / "lake")
    before = lake.versions()
    monkeypatch.setattr(Lake, "versions", lambda _: before)
    asked = of_audit(lake, "near_success", {"campaign": "demo", "iteration": "1"})
    first = asked.rows[0]["episode_id"]
    lake.delete("sans", f"episode_id = '{first}'")
    again = of_audit(lake, "near_success", {"campaign": "demo", "iteration": "1"})
    assert again == asked and again.tables == before


def test_retracted_episodes_are_left_out_and_counted(tmp_path: Path) -> None:
    lake = synthetic_lake(tmp_path / "lake")
    gone = of_sans(lake, "demo/1").rows[0]["episode_id"]
    retract_episodes(lake, [gone], "camera moved")
    left = chosen(lake, of_sans(lake, "demo/1"))
    assert left.left_out == {"retracted": [gone]}
    assert gone not in {row["episode_id"] for row in left.rows}
    with pytest.raises(UserError, match=f"episode {gone} was retracted"):
        of_episodes(lake, [gone[:10]])
    with pytest.raises(UserError, match=r"nothing to export.*1 retracted; 1 not recorded any more"):
        chosen(lake, Selection([{"episode_id": gone}, {"episode_id": "f" * 32}], {}, {}))


def test_an_episode_that_lost_frames_is_not_exported_short(tmp_path: Path) -> None:
    lake = synthetic_lake(tmp_path / "lake")
    rows = chosen(lake, of_sans(lake, "demo/0")).rows
    lake.delete("frames", f"episode_id = '{rows[2]['episode_id']}' AND step = 3")
    with pytest.raises(UserError, match=f"episode {rows[2]['episode_id']} has 8 of 9 frames"):
        list(episodes(lake, rows))
