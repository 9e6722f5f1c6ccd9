"""Retention on whole lakes: what somebody needs stays readable, the rest gives its bytes back."""

import multiprocessing
import os
import shutil
import signal
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import lance
import numpy as np
import pytest

from tests.lake.published import COMMIT, MEBIBYTE, abandon, published_lake, recorded
from tests.quality import damage
from worldvla.errors import UserError
from worldvla.lake.commit import Commit
from worldvla.lake.digests import digest
from worldvla.lake.episodes import load_bank, set_members
from worldvla.lake.faults import file_sizes
from worldvla.lake.latents import read_latents, write_latents
from worldvla.lake.materializations import latest, publish
from worldvla.lake.models import has_model, read_model, write_model
from worldvla.lake.query import audits, run_audit
from worldvla.lake.store import Lake
from worldvla.lake.tables import TABLES
from worldvla.lake.tags import pin, pins, tag_training, unpin, vectors
from worldvla.planner.recall import is_whole
from worldvla.quality.admission import admit
from worldvla.quality.quarantine import facts_of, held
from worldvla.upkeep.references import unpublished
from worldvla.upkeep.retention import apply, make_plan

NOW = timedelta(0)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two published iterations of `demo`, an abandoned campaign recorded before the second."""
    return Path(published_lake(tmp_path_factory.mktemp("template") / "lake").root)


@pytest.fixture
def lake(template: Path, tmp_path: Path) -> Lake:
    return Lake(shutil.copytree(template, tmp_path / "lake"))


def answers(lake: Lake, as_of: str | None = None) -> dict[str, list]:
    """Every audit that needs no more than campaign demo, or a model or episode of it."""
    campaign = "demo"
    model = latest(lake)["world_model", campaign, "0000"].data_version
    policy = latest(lake)["rl_policy", campaign, "0000"].data_version
    episode = lake.frame("training_membership", ["episode_id"], f"model_id = '{model}'")["episode_id"].min()
    given = {"model": model, "policy": policy, "episode": episode, "campaign": campaign, "iteration": "0000"}
    found = {}
    # `tables` tells versions, which retention makes.
    for name, audit in audits().items():
        if name == "tables":
            continue
        parameters = {one.name: given[one.name] for one in audit.parameters if one.name in given}
        if all(one.name in given or one.default is not None for one in audit.parameters):
            found[name] = sorted(map(str, run_audit(lake, name, parameters, as_of).rows()))
    return found


def read_all_of(lake: Lake, campaign: str = "demo") -> tuple[int, int]:
    """Reads every model and episode that anything of the campaign names; returns how many."""
    nodes = {node: record for node, record in latest(lake).items() if node[1] == campaign}
    assert all(is_whole(lake, record) for record in nodes.values())
    models = {row["model_id"] for row in lake.read("models", ["model_id"]).to_pylist()}
    named = {record.data_version for record in nodes.values()} & models
    members = lake.frame("training_membership", ["model_id", "episode_id"])
    episodes = set(members.filter(members["model_id"].is_in(list(named)))["episode_id"])
    for model in named:
        read_model(lake, model)
    load_bank(lake, sorted(episodes), 8)
    return len(named), len(episodes)


def size(lake: Lake, table: str) -> int:
    return sum(file_sizes(lake.open(table)).values())


def test_a_dry_run_changes_nothing_and_names_what_would_go(lake: Lake) -> None:
    before = {table: (lake.version(table), file_sizes(lake.open(table))) for table in lake.versions()}
    plan = make_plan(lake, [], NOW)
    assert {table: (lake.version(table), file_sizes(lake.open(table))) for table in lake.versions()} == before
    sizes = {one.table: one.footprint for one in plan.tables}
    assert [model["kind"] for model in plan.removed_models] == ["base_policy"]
    assert (sizes["models"].removed, sizes["episodes"].removed, sizes["frames"].removed) == (1, 16, 16 * 21)
    assert sizes["models"].freed > MEBIBYTE and sizes["frames"].freed > 16 * 21 * 300
    assert sizes["materializations"].removed == 2


def test_what_a_published_iteration_needs_stays_and_the_rest_is_freed(lake: Lake) -> None:
    questions, contents = answers(lake), read_all_of(lake)
    assert len(questions) >= 6 and contents[0] >= 4 and contents[1] >= 12
    abandoned = latest(lake)["base_policy", "abandoned", ""].data_version
    plan = make_plan(lake, [], NOW)
    before = {table: size(lake, table) for table in lake.versions()}
    apply(lake, plan)
    assert answers(lake) == questions and read_all_of(lake) == contents
    assert not has_model(lake, abandoned)
    for table in ("models", "frames"):
        planned = next(one.footprint.freed for one in plan.tables if one.table == table)
        freed = before[table] - size(lake, table)
        assert planned <= freed + 8192 and freed > 0.9 * planned > 0
    again = make_plan(lake, [], NOW)
    assert not again.removed_models and all(one.footprint.removed == 0 for one in again.tables)


def rows_at(lake: Lake, table: str, version: int) -> list[str]:
    dataset = lance.dataset(lake.path(table), version=version)
    return list(map(str, dataset.to_table(columns=TABLES[table].light).to_pylist()))


def test_every_version_that_an_iteration_names_still_opens(lake: Lake) -> None:
    nights = vectors(lake)
    then = {(night, table): rows_at(lake, table, number) for night in nights for table, number in nights[night].items()}
    questions = {night: answers(lake, as_of="/".join(night)) for night in nights}
    model = latest(lake)["base_policy", "abandoned", ""].data_version
    apply(lake, make_plan(lake, [], NOW))
    moved = vectors(lake)
    for night, table in then:
        rows = rows_at(lake, table, moved[night][table])
        if moved[night][table] == nights[night][table]:
            assert rows == then[night, table]
        else:
            assert night == ("demo", "0001") and table in ("frames", "models")
            assert [row for row in then[night, table] if row in rows] == rows
    assert moved["demo", "0000"] == nights["demo", "0000"]
    assert not any(model in row for row in rows_at(lake, "models", moved["demo", "0001"]["models"]))
    assert {night: answers(lake, as_of="/".join(night)) for night in nights} == questions


def test_frames_and_weights_are_never_rewritten_and_small_tables_are_compacted(lake: Lake) -> None:
    files = {table: set(file_sizes(lake.open(table))) for table in ("frames", "models", "alignments")}
    fragments = len(lake.open("materializations").get_fragments())
    apply(lake, make_plan(lake, [], NOW))
    for table, before in files.items():
        now = set(file_sizes(lake.open(table)))
        assert {one for one in now if one.startswith("data/")} <= before
    assert fragments > 8 and len(lake.open("materializations").get_fragments()) == 1
    assert len(lake.open("materializations").version_refs()) <= 4


def test_a_champion_a_pin_and_young_work_are_kept(lake: Lake) -> None:
    model, ids = abandon(lake, "variant", 700)
    assert len(make_plan(lake, [], NOW).removed_models) == 2
    assert not make_plan(lake, [], timedelta(days=7)).removed_models
    champions = [one["model_id"] for one in make_plan(lake, [model], NOW).removed_models]
    assert len(champions) == 1 and model not in champions
    pin(lake, "keep-me", model)
    apply(lake, make_plan(lake, [], NOW))
    assert read_model(lake, model).weights[:1] == bytes([700 % 251])
    load_bank(lake, ids, 8)
    assert latest(lake)["demonstrations", "variant", ""]
    unpin(lake, "keep-me")
    apply(lake, make_plan(lake, [], NOW))
    assert not has_model(lake, model) and pins(lake) == []


def test_what_was_published_anew_since_its_iteration_stays_current(lake: Lake) -> None:
    """Equal content under newer code leaves the iteration as it was: by the newer row alone its node is fresh."""
    record = latest(lake)["base_policy", "demo", ""]
    publish(lake, replace(record, code_version="next", materialized_at=datetime.now(UTC)), COMMIT)
    apply(lake, make_plan(lake, [], NOW))
    assert latest(lake)["base_policy", "demo", ""].code_version == "next"


def test_latents_stay_where_both_their_autoencoder_and_their_episode_are_needed(lake: Lake) -> None:
    config, commit = {"autoencoder": {"digest": "had"}}, Commit("run", "pretrained_world_model")
    model = write_model(lake, "pretrained_world_model", config, b"weights", {}, {}, None, None, commit)
    pin(lake, "keep-me", model)
    abandoned = latest(lake)["demonstrations", "abandoned", ""].data_version
    going = set_members(lake, abandoned)[:2]
    staying = set_members(lake, latest(lake)["raw_episodes", "demo", ""].data_version)[:3]
    made = np.random.default_rng(0).standard_normal((9, 4, 8, 8)).astype(np.float16)
    for autoencoder, episodes in (("had", [*staying, *going]), ("lost", staying)):
        write_latents(lake, autoencoder, dict.fromkeys(episodes, made), commit)
    assert not {"latents"} & {one.table for one in make_plan(lake, [], timedelta(days=7)).tables if len(one.removable)}
    notes = {(one.table, one.subject) for one in unpublished(lake)}
    assert ("latents", "lost") in notes and ("latents", "had") not in notes
    [planned] = [one.footprint for one in make_plan(lake, [], NOW).tables if one.table == "latents"]
    before = size(lake, "latents")
    apply(lake, make_plan(lake, [], NOW))
    assert (planned.rows, planned.removed) == (8, 5) and before - size(
        lake, "latents"
    ) > 0.9 * planned.freed > made.nbytes
    left = lake.read("latents", ["autoencoder", "episode_id"]).to_pylist()
    assert {(row["autoencoder"], row["episode_id"]) for row in left} == {("had", episode) for episode in staying}
    np.testing.assert_array_equal(read_latents(lake, "had", load_bank(lake, staying, None)), np.concatenate([made] * 3))


def test_latents_that_a_version_holds_are_given_back(lake: Lake) -> None:
    model = latest(lake)["world_model", "demo", "0001"].data_version
    episodes = lake.frame("training_membership", ["episode_id"], f"model_id = '{model}'")["episode_id"].to_list()
    random = np.random.default_rng(0)
    made = {episode: random.standard_normal((9, 4, 8, 8)).astype(np.float16) for episode in episodes}
    write_latents(lake, "lost", made, COMMIT)
    recorded(lake, "0001")
    before = size(lake, "latents")
    apply(lake, make_plan(lake, [], NOW))
    number = vectors(lake)["demo", "0001"]["latents"]
    assert lance.dataset(lake.path("latents"), version=number).count_rows() == 0
    assert before - size(lake, "latents") > sum(values.nbytes for values in made.values())


def test_a_training_that_can_go_on_keeps_what_it_read(lake: Lake) -> None:
    tag_training(lake, "episodes", killed := digest("killed"))
    assert f"training-{killed}" not in make_plan(lake, [], NOW, unfinished=[killed]).stale_tags["episodes"]
    assert f"training-{killed}" in make_plan(lake, [], NOW).stale_tags["episodes"]


def test_a_quarantined_record_keeps_its_facts(lake: Lake) -> None:
    """It is in no set, and a person who is to judge it asks for them."""
    record = damage.black()
    admit(lake, [record], COMMIT)
    assert held(lake) and facts_of(lake, record.episode_id)
    apply(lake, make_plan(lake, [], NOW))
    assert facts_of(lake, record.episode_id)


def test_of_two_rows_of_an_iteration_the_newest_is_moved_on(lake: Lake) -> None:
    lance.write_dataset(lake.open("iterations").to_table().slice(0, 1), lake.path("iterations"), mode="append")
    apply(lake, make_plan(lake, [], NOW))
    apply(lake, make_plan(lake, [], NOW))


def test_a_pinned_lake_is_kept_whole_in_every_version(lake: Lake) -> None:
    model = latest(lake)["base_policy", "abandoned", ""].data_version
    pin(lake, "before-the-demo")
    version = lake.tags("models")["pin.before-the-demo"]
    apply(lake, make_plan(lake, [], NOW))
    assert has_model(lake, model)
    assert lance.dataset(lake.path("models"), version=version).count_rows() == lake.open("models").count_rows()


def test_an_unused_lake_is_left_untouched(tmp_path: Path) -> None:
    apply(Lake(tmp_path / "lake"), make_plan(Lake(tmp_path / "lake"), [], NOW))
    assert not (tmp_path / "lake").exists()


def test_pins_have_names_of_their_own(lake: Lake) -> None:
    pin(lake, "a")
    with pytest.raises(UserError, match="pin 'a' exists"):
        pin(lake, "a")
    with pytest.raises(UserError, match="letters, digits"):
        pin(lake, "a/../b")
    with pytest.raises(UserError, match="there is no pin 'b'; there is: a"):
        unpin(lake, "b")


def test_a_damaged_lake_is_left_alone(lake: Lake) -> None:
    victim = sorted((Path(lake.path("sans")) / "data").glob("*.lance"))[0]
    victim.write_bytes(victim.read_bytes()[:-20])
    with pytest.raises(UserError, match=f"nothing is removed from a damaged lake: table sans .*{victim.name}"):
        make_plan(lake, [], NOW)


def retain(root: str) -> None:
    lake = Lake(Path(root))
    apply(lake, make_plan(lake, [], NOW))


@pytest.mark.slow
def test_a_killed_retention_leaves_a_readable_lake_and_goes_on(lake: Lake) -> None:
    questions, contents = answers(lake), read_all_of(lake)
    context = multiprocessing.get_context("spawn")
    killed = 0
    for moment in range(6):
        abandon(lake, f"abandoned-{moment}", 1000 + 20 * moment)
        process = context.Process(target=retain, args=(str(lake.root),))
        version = lake.version("materializations")
        process.start()
        # Removal begins with the publications.
        deadline = time.monotonic() + 60
        while process.is_alive() and lake.version("materializations") == version and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(0.02 * moment)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        killed += process.exitcode == -signal.SIGKILL
        assert answers(lake) == questions and read_all_of(lake) == contents
        for versions in vectors(lake).values():
            for table, number in versions.items():
                lance.dataset(lake.path(table), version=number).count_rows()
    assert killed >= 3
    retain(str(lake.root))
    assert lake.frame("models", ["model_id"]).height == 8 and answers(lake) == questions
