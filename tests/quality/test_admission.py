"""What enters the lake, what does not, and that a killed call repeated loses and doubles nothing."""

from pathlib import Path

import pytest

from tests.quality import damage
from worldvla.errors import UserError
from worldvla.lake import episodes
from worldvla.lake.commit import Commit
from worldvla.lake.episodes import episode_rows, read_episode, write_set
from worldvla.lake.store import Lake
from worldvla.quality import admission, facts, quarantine, rules
from worldvla.quality.admission import admit, judge_again

COMMIT = Commit("run", "demonstrations", "demo", "")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


def everything(lake: Lake) -> dict[str, int]:
    return {table: lake.open(table).count_rows() for table in lake.versions()}


def test_errors_go_to_quarantine_and_warnings_pass(lake):
    bad = [make() for make in damage.ERRORS.values()]
    warned = [make() for make in damage.WARNINGS.values()]
    verdicts = admit(lake, [*bad, damage.sound(), *warned], COMMIT, batch=5)
    assert verdicts.refused == [episode.episode_id for episode in bad]
    assert verdicts.admitted == [damage.sound().episode_id, *(episode.episode_id for episode in warned)]
    assert set(episode_rows(lake)["episode_id"]) == set(verdicts.admitted)
    assert set(lake.frame("frames", ["episode_id"])["episode_id"]) == set(verdicts.admitted)
    kept = {one.row["record_id"]: one for one in quarantine.held(lake)}
    assert set(kept) == set(verdicts.refused) and {one.status for one in kept.values()} == {"quarantined"}
    for (name, make), episode in zip(damage.ERRORS.items(), bad, strict=True):
        one = kept[episode.episode_id]
        assert name in one.broken and name in one.row["reason"]
        assert (one.row["asset"], one.row["campaign"], one.row["run_id"]) == ("demonstrations", "demo", "run")
        assert quarantine.record_bytes(lake, episode.episode_id).images == make().images
    shown = lake.frame("episode_facts").filter(warnings=["success_lost"])
    assert shown["episode_id"].to_list() == [damage.WARNINGS["success_lost"]().episode_id]


def test_what_is_read_back_from_the_lake_measures_the_same(lake):
    for episode in (damage.sound(), damage.clocked()):
        admit(lake, [episode], COMMIT)
        stored = read_episode(lake, episode.episode_id)
        assert stored.episode_id == episode.episode_id
        assert facts.measure(stored) == facts.measure(episode)


@pytest.mark.parametrize("write", ["frames", "episodes", "quarantine", "episode_facts"])
def test_a_crash_at_any_write_loses_and_doubles_nothing(tmp_path, write, monkeypatch):
    batch = [damage.sound(1), damage.black(), damage.sound(2), damage.truncated()]
    undisturbed = Lake(tmp_path / "undisturbed")
    expected = admit(undisturbed, batch, COMMIT, batch=2)

    lake = Lake(tmp_path / "killed")
    insert, crashes = Lake.insert, iter((True, True))

    def dies(self, table, rows, commit):
        version = insert(self, table, rows, commit)
        if table == write and next(crashes, False):
            raise KeyboardInterrupt
        return version

    monkeypatch.setattr(Lake, "insert", dies)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            admit(lake, batch, COMMIT, batch=2)
    assert admit(lake, batch, COMMIT, batch=2) == expected
    assert everything(lake) == everything(undisturbed)
    judged = judge_again(lake, [episode.episode_id for episode in batch], COMMIT)
    assert judged == expected and everything(lake) == everything(undisturbed)
    sets = [write_set(one, expected.admitted, COMMIT) for one in (lake, undisturbed)]
    assert sets[0] == sets[1]


def stricter(monkeypatch, version="2"):
    """Another version of the rules, under which no task may be told in these words."""
    rule = rules.Rule("test_rule", "error", "instruction_characters", "says too much", "a test", high=10)
    monkeypatch.setattr(rules, "RULES", (*rules.RULES, rule))
    monkeypatch.setattr(quarantine, "RULES", rules.RULES)
    for module in (rules, facts, quarantine):
        monkeypatch.setattr(module, "RULES_VERSION", version)


def test_changed_rules_judge_again_what_is_recorded_and_what_is_quarantined(lake):
    good, bad = damage.sound(), damage.black()
    admit(lake, [good, bad], COMMIT)
    ids = [good.episode_id, bad.episode_id]
    with pytest.MonkeyPatch.context() as patch:
        stricter(patch)
        assert judge_again(lake, ids, COMMIT).refused == ids
        before = everything(lake)
        assert judge_again(lake, ids, COMMIT).refused == ids and everything(lake) == before
        newest = {one.row["record_id"]: one for one in quarantine.held(lake)}
        assert newest[good.episode_id].broken == ("test_rule",) and newest[good.episode_id].in_lake
        assert newest[bad.episode_id].broken == ("black_frames", "test_rule")
    # The old rules again: what they measured is still there.
    assert judge_again(lake, ids, COMMIT) == admission.Verdicts([good.episode_id], [bad.episode_id])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rules, "RULES", tuple(rule for rule in rules.RULES if rule.name != "black_frames"))
        for module in (rules, facts, quarantine):
            patch.setattr(module, "RULES_VERSION", "3")
        assert judge_again(lake, ids, COMMIT).admitted == ids
        assert {one.status for one in quarantine.held(lake)} == {"passing"}
    assert read_episode(lake, bad.episode_id).images == bad.images


def test_an_episode_damaged_at_rest_is_named(lake, monkeypatch):
    episode = damage.sound()
    admit(lake, [episode], COMMIT)
    lake.delete("frames", f"episode_id = '{episode.episode_id}' AND step = 4")
    assert judge_again(lake, [episode.episode_id], COMMIT).admitted
    stricter(monkeypatch)
    with pytest.raises(UserError, match=f"{episode.episode_id} is damaged"):
        judge_again(lake, [episode.episode_id], COMMIT)
    with pytest.raises(UserError, match="no episode unheard"):
        read_episode(lake, "unheard")
    lake.delete("frames", "true")
    with pytest.raises(UserError, match="frames are missing"):
        episodes.read_episode(lake, episode.episode_id)
