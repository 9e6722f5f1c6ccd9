"""Recording, as assets do it: what rules refuse is in no published set, and warnings show in the check.

The episodes stand in the lake before the asset asks for them, so that none is simulated here.
"""

from pathlib import Path
from urllib.parse import urlparse

import dagster as dg
import pytest

from assets.episodes import ASSETS
from tests.quality import damage
from worldvla import campaigns
from worldvla.episodes.episode import Episode
from worldvla.lake.commit import Commit
from worldvla.lake.episodes import set_members
from worldvla.lake.materializations import latest
from worldvla.lake.store import Lake
from worldvla.quality import quarantine
from worldvla.quality.admission import admit
from worldvla.quality.recording import record
from worldvla.sim.actors import ExpertSpec
from worldvla.sim.rollout import RolloutRequest
from worldvla.sim.seed_ranges import DEMONSTRATION

COMMIT = Commit("run", "perturbed_demonstrations", "test", "")
ACTOR = ExpertSpec(perturbation=1.0)


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    monkeypatch.setenv("WORLDVLA_HOME", str(tmp_path))
    return Lake.default()


def requests() -> list[RolloutRequest]:
    """What the asset of campaign `test` asks for."""
    config = campaigns.load("test")
    scene = config.scene
    seeds = range(DEMONSTRATION, DEMONSTRATION + config.perturbed.per_task)
    return [
        RolloutRequest(scene.suite, damage.TASK, seed, ACTOR, scene.max_steps, scene.chunk, settle=scene.settle)
        for seed in seeds
    ]


def made(request: RolloutRequest, kind: str = "") -> Episode:
    """An episode of the request's origin; its pictures are black or repeat themselves where `kind` says so."""
    images = {"black": damage.black().images, "warned": damage.frozen(2).images}.get(kind)
    changes = {} if images is None else {"images": images}
    origin = {"source": request.actor.source, "actor": request.actor.name, "settings": request.settings}
    return damage.sound(request.seed, **origin, **changes)


def materialize(instance: dg.DagsterInstance) -> dict[str, dg.AssetCheckEvaluation]:
    asset = next(one for one in ASSETS if one.key.to_user_string() == "perturbed_demonstrations")
    result = dg.materialize([asset], instance=instance, partition_key="test")
    assert result.success
    return {check.check_name: check for check in result.get_asset_check_evaluations()}


def test_a_recording_says_what_it_kept_out_and_rolls_nothing_out_twice(lake):
    wanted = requests()
    episodes = [made(request, "black" if number == 1 else "") for number, request in enumerate(wanted)]
    admit(lake, episodes, COMMIT)
    versions = lake.versions()
    recording = record(lake, wanted, 1, COMMIT, "none to be made")
    assert [row["episode_id"] for row in recording.rows] == [e.episode_id for e in episodes if e is not episodes[1]]
    assert recording.refused == [episodes[1].episode_id]
    assert recording.steps == sum(episode.length for episode in episodes)
    assert lake.versions() == versions


def test_an_asset_publishes_without_the_refused_and_shows_the_warned(lake):
    wanted = requests()
    kinds = {2: "black", 4: "warned"}
    episodes = [made(request, kinds.get(number, "")) for number, request in enumerate(wanted)]
    black, warned = episodes[2].episode_id, episodes[4].episode_id
    admit(lake, episodes, COMMIT)
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("campaign", ["test"])
        check = materialize(instance)["episode_facts"]
        assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
        (rule,) = check.metadata["failing rows"].value.items()
        assert rule == ("no episode repeats a picture while the robot moves (frame_repeated)", [warned])
        page = Path(urlparse(check.metadata["data docs"].value).path)
        assert warned in page.read_text() and (page.parents[4] / "index.html").is_file()
        published = latest(lake)["perturbed_demonstrations", "test", ""]
        assert published.details["quarantined"] == [black] and published.details["episodes"] == len(wanted) - 1
        assert black not in set_members(lake, published.data_version)
        assert published.real_steps == sum(episode.length for episode in episodes)

        nodes = quarantine.release(lake, quarantine.find(lake, black), "night shift", "ada", COMMIT)
        assert nodes == ["perturbed_demonstrations/test/"]
        assert materialize(instance)["episode_facts"].severity == dg.AssetCheckSeverity.WARN
        published = latest(lake)["perturbed_demonstrations", "test", ""]
        assert black in set_members(lake, published.data_version) and "quarantined" not in published.details
        again = materialize(instance)["episode_facts"]
        assert "warning: " in again.description and again.metadata["data docs"]
