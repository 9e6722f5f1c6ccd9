"""What one home measured of one campaign, as values and as the file that keeps them.

Campaigns take nights, and a team runs three seeds on three machines. So the measurements of each are a file of their
own, `results/campaigns/NAME.json`, and a benchmark's figures are made of these files: of homes that are gone, too.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, ValidationError

from benchmarks.result import FOLDER
from worldvla import campaigns
from worldvla.errors import UserError
from worldvla.planner.fingerprints import config_digest
from worldvla.planner.graph import GRAPH

CAMPAIGNS = FOLDER / "campaigns"


def _flat(outcomes: Any) -> Any:
    if isinstance(outcomes, Mapping) and all(isinstance(of_task, Mapping) for of_task in outcomes.values()):
        return {(task, int(seed)): success for task, of_task in outcomes.items() for seed, success in of_task.items()}
    return outcomes


def _by_task(outcomes: Mapping[tuple[str, int], bool]) -> dict[str, dict[int, bool]]:
    by_task: dict[str, dict[int, bool]] = {}
    for (task, seed), success in outcomes.items():
        by_task.setdefault(task, {})[seed] = success
    return by_task


# By task and seed, whether the policy succeeded; in the file an object of the seeds for each task.
Outcomes = Annotated[dict[tuple[str, int], bool], BeforeValidator(_flat), PlainSerializer(_by_task, when_used="json")]


def named(asset: str, iteration: str) -> str:
    """How a node of a campaign is named in measurements."""
    return f"{asset} {iteration}".strip()


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Evaluation(_Strict):
    """Base and new policy of one iteration on the same held-out seeds, under one protocol."""

    campaign: str
    iteration: str
    protocol: dict[str, Any]
    exploitation: dict[str, Any] | None
    base_policy: str
    base: Outcomes
    new: Outcomes


class Alignment(_Strict):
    """An iteration's world model on held-out episodes, a row each."""

    protocol: dict[str, Any]
    rows: list[dict[str, Any]]


class Made(_Strict):
    """What a node was made by: the version of its code and the digest of its settings."""

    code: str
    settings: str


class Measurements(_Strict):
    """What one home measured of one campaign.

    `nodes` say by what, by asset; `evaluations` and `alignments` are by iteration; `versions` (of the data that figures
    are read from), `gates` that failed and `seconds` by "ASSET ITERATION"; `interaction` has a row an evaluated
    iteration, and one of the base policy before them.
    """

    campaign: str
    date: str
    commit: str
    machine: dict[str, Any]
    settings: dict[str, Any]
    nodes: dict[str, Made]
    versions: dict[str, str] = {}
    evaluations: dict[str, Evaluation]
    alignments: dict[str, Alignment]
    closed: list[str]
    gates: dict[str, str]
    seconds: dict[str, float]
    interaction: list[dict[str, Any]]

    @property
    def extent(self) -> int:
        """How much was measured, to tell which of two measurements of one campaign is further."""
        return len(self.evaluations) + len(self.alignments) + len(self.closed)

    def same(self, other: "Measurements") -> bool:
        """Whether the other one measured the same, whenever, wherever and at whichever commit it was read."""
        read = {"date", "commit", "machine"}
        return self.model_dump(exclude=read) == other.model_dump(exclude=read)

    def outdated(self) -> str:
        """What has changed since, in words: of other code or settings no figure is made. Empty where nothing has."""
        config = campaigns.load(self.campaign)
        for asset, made in self.nodes.items():
            if asset not in GRAPH:
                return f"there is no asset {asset} any more"
            if made.code != GRAPH[asset].code_version:
                return f"code version of {asset}: {made.code} -> {GRAPH[asset].code_version}"
            if made.settings != config_digest(GRAPH[asset], config):
                return f"settings of {asset}"
        return ""


def keep(measured: Measurements, folder: Path) -> Path:
    """Writes NAME.json, a line a field."""
    folder.mkdir(parents=True, exist_ok=True)
    fields = measured.model_dump(mode="json")
    lines = (f" {json.dumps(name)}: {json.dumps(value)}" for name, value in fields.items())
    path = folder / f"{measured.campaign}.json"
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    return path


def kept(campaign: str, folder: Path) -> Measurements | None:
    """What `keep` wrote, if it did; raises `UserError` where the file holds something else."""
    path = folder / f"{campaign}.json"
    if not path.exists():
        return None
    try:
        return Measurements.model_validate_json(path.read_text())
    except ValidationError as error:
        [first, *_] = error.errors()
        where = ".".join(map(str, first["loc"])) or "the file"
        raise UserError(f"{path}: {where}: {first['msg']}; restore the file, or remove it and measure again") from None
