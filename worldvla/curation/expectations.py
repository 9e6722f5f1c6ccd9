"""Expectations: what must hold of episodes, of their frames and of a curated SANS.

Great Expectations suites, run in an ephemeral context over projected metadata (no pictures).
Great Expectations takes seconds to import, so it is imported when a suite runs.
"""

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import pandas as pd
import polars as pl

from worldvla.curation.sans import LABELS
from worldvla.curation.splits import SPLITS
from worldvla.episodes.episode import Source

SuiteName = Literal["episodes", "frames", "sans"]
IDS_SHOWN = 20
TOLERANCE = 1e-6


@dataclass(frozen=True)
class Expectation:
    """One verdict. `unexpected_ids`: episodes at fault, at most IDS_SHOWN; empty where the table as a whole is."""

    name: str
    success: bool
    unexpected_count: int = 0
    unexpected_ids: list[str] = field(default_factory=list)
    observed: Any = None


@dataclass(frozen=True)
class SuiteResult:
    suite: str
    success: bool
    rows: int
    expectations: list[dict]

    @property
    def failures(self) -> list[str]:
        """Each failed expectation in words, with the episodes at fault."""
        return [_sentence(e) for e in self.expectations if not e["success"]]


def run_suite(name: SuiteName, frame: pl.DataFrame | pd.DataFrame, **context: Any) -> SuiteResult:
    """Runs a suite over one row an episode; raises RuntimeError when a rule could not be computed.

    Context: `episodes` needs `chunk`. `frames` takes `frame_facts` joined with the
    episodes' `length`. `sans` takes rows of table sans joined with the episodes'
    `initial_state_digest`.
    """
    data = frame.to_pandas() if isinstance(frame, pl.DataFrame) else frame.copy()
    rules = SUITES[name](data, **context)
    results = _validate(name, data, rules)
    return SuiteResult(name, all(r.success for r in results), len(data), [asdict(r) for r in results])


# A rule: its name, a Great Expectations class, and that class's arguments.
Rule = tuple[str, str, dict[str, Any]]


def episode_rules(data: pd.DataFrame, chunk: int) -> list[Rule]:
    data["length_in_chunks"] = data["length"] % chunk == 0
    data["best_agrees"] = (data["best_progress"] >= 1 - TOLERANCE) == data["success"]
    data["best_bounds_final"] = data["best_progress"] >= data["final_progress"] - TOLERANCE
    data["final_implies_success"] = ~data["final_success"] | data["success"]
    data["best_step_within"] = data["best_progress_step"].between(0, data["length"])
    data["instruction_text"] = data["instruction"].fillna("").str.strip()
    return [
        ("there are episodes", "ExpectTableRowCountToBeBetween", {"min_value": 1}),
        ("every episode has an id", "ExpectColumnValuesToNotBeNull", {"column": "episode_id"}),
        ("episode ids are unique", "ExpectColumnValuesToBeUnique", {"column": "episode_id"}),
        ("every episode has a content digest", "ExpectColumnValuesToNotBeNull", {"column": "content_digest"}),
        ("every episode has actions", "ExpectColumnValuesToBeBetween", {"column": "length", "min_value": 1}),
        (f"lengths are multiples of the chunk ({chunk})", *_holds("length_in_chunks")),
        ("success is best progress 1", *_holds("best_agrees")),
        ("final progress is at most best progress", *_holds("best_bounds_final")),
        ("a final success is a success", *_holds("final_implies_success")),
        ("best progress is reached within the episode", *_holds("best_step_within")),
        ("best progress is in [0, 1]", *_between("best_progress", 0, 1)),
        ("final progress is in [0, 1]", *_between("final_progress", 0, 1)),
        ("the source is known", *_in_set("source", [str(source) for source in Source])),
        ("every episode has an instruction", *_in_lengths("instruction_text")),
        ("every episode has an initial state", "ExpectColumnValuesToNotBeNull", {"column": "initial_state_digest"}),
    ]


def frame_rules(data: pd.DataFrame) -> list[Rule]:
    data["frames_match_length"] = data["frames"] == data["length"] + 1
    data["actions_match_length"] = data["actions"] == data["length"]
    rules: list[Rule] = [
        ("there are episodes", "ExpectTableRowCountToBeBetween", {"min_value": 1}),
        ("an episode of T actions has T + 1 frames", *_holds("frames_match_length")),
        ("steps are 0, 1, 2, … without gap or repeat", *_holds("steps_contiguous")),
        ("every frame but the last has an action", *_holds("actions_match_length")),
        ("the last frame has no action", *_holds("last_has_no_action")),
        ("actions are finite", *_holds("actions_finite")),
        ("actions are at least -1", *_between("action_low", -1, None)),
        ("actions are at most 1", *_between("action_high", None, 1)),
        ("rewards are 0 or 1", *_holds("reward_binary")),
        ("progress is at least 0", *_between("progress_low", 0, None)),
        ("progress is at most 1", *_between("progress_high", None, 1)),
    ]
    if "images_empty" in data:
        rules += [
            ("every frame has a picture", *_in_set("images_empty", [0])),
            ("sampled pictures decode", *_in_set("images_undecodable", [0])),
        ]
    return rules


def sans_rules(data: pd.DataFrame) -> list[Rule]:
    succeeded = data["success_frames"] > 0
    close = data["best_progress"] >= data["threshold"]
    data["label_follows"] = (
        ((data["label"] == "success") == succeeded)
        & ((data["label"] == "near_success") == (~succeeded & close))
        & ((data["label"] == "failure") == (~succeeded & ~close))
    )
    sides = data.groupby("initial_state_digest")["split"].transform("nunique")
    data["one_side"] = sides == 1
    data["feedback_iteration_named"] = (data["origin"] == "feedback") == data["origin_iteration"].notna()
    outcome = (data["label"] == "success").map({True: "success", False: "no success"})
    data["training_outcome"] = outcome.where(data["split"] == "train", None)
    data["rule_text"] = data["rule"].fillna("")
    return [
        ("there are episodes", "ExpectTableRowCountToBeBetween", {"min_value": 1}),
        ("episode ids are unique", "ExpectColumnValuesToBeUnique", {"column": "episode_id"}),
        ("the label is known", *_in_set("label", list(LABELS))),
        ("the split is known", *_in_set("split", list(SPLITS))),
        ("every label names its rule", *_in_lengths("rule_text")),
        ("the label follows from the measured values", *_holds("label_follows")),
        ("no initial state is in two splits", *_holds("one_side")),
        ("feedback names its iteration", *_holds("feedback_iteration_named")),
        (
            "the training set has both outcomes",
            "ExpectColumnDistinctValuesToContainSet",
            {"column": "training_outcome", "value_set": ["no success", "success"]},
        ),
    ]


SUITES: dict[str, Callable[..., list[Rule]]] = {"episodes": episode_rules, "frames": frame_rules, "sans": sans_rules}


def _holds(column: str) -> tuple[str, dict[str, Any]]:
    return _in_set(column, [True])


def _in_set(column: str, values: list) -> tuple[str, dict[str, Any]]:
    return "ExpectColumnValuesToBeInSet", {"column": column, "value_set": values}


def _between(column: str, low: float | None, high: float | None) -> tuple[str, dict[str, Any]]:
    bounds = {"min_value": low, "max_value": high}
    return "ExpectColumnValuesToBeBetween", {"column": column} | {k: v for k, v in bounds.items() if v is not None}


def _in_lengths(column: str) -> tuple[str, dict[str, Any]]:
    return "ExpectColumnValueLengthsToBeBetween", {"column": column, "min_value": 1}


def _validate(name: str, data: pd.DataFrame, rules: list[Rule]) -> list[Expectation]:
    os.environ["GX_ANALYTICS_ENABLED"] = "false"  # read at import; the suite must not reach for the network
    import great_expectations as gx
    import great_expectations.expectations as gxe
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("lake").add_dataframe_asset(name)
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": data})
    suite = gx.ExpectationSuite(
        name, expectations=[getattr(gxe, kind)(**arguments, meta={"name": rule}) for rule, kind, arguments in rules]
    )
    outcome = batch.validate(
        suite, result_format={"result_format": "COMPLETE", "unexpected_index_column_names": ["episode_id"]}
    )
    verdicts = {result.expectation_config.meta["name"]: result for result in outcome.results}
    return [_verdict(rule, verdicts[rule]) for rule, _, _ in rules]


def _verdict(name: str, result: Any) -> Expectation:
    """Great Expectations reports a crash inside a rule as a failed rule; a crash is raised here."""
    for info in (result.exception_info, *result.exception_info.values()):
        if isinstance(info, dict) and info.get("raised_exception"):
            raise RuntimeError(f"expectation {name!r} could not be computed: {info['exception_message']}")
    details = result.result
    ids = [row["episode_id"] for row in details.get("unexpected_index_list") or []]
    return Expectation(
        name,
        bool(result.success),
        int(details.get("unexpected_count", 0)),
        list(dict.fromkeys(str(i) for i in ids))[:IDS_SHOWN],
        details.get("observed_value"),
    )


def _sentence(expectation: dict) -> str:
    count, ids = expectation["unexpected_count"], expectation["unexpected_ids"]
    if not count:
        return f"{expectation['name']}: no (observed {expectation['observed']})"
    more = f" and {count - len(ids)} more" if count > len(ids) else ""
    return f"{expectation['name']}: not for {', '.join(ids)}{more}"
