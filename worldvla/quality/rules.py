"""The rules an episode is held against before it enters the lake.

A rule bounds one column of table `episode_facts`; a value that is null (there was nothing to
measure) passes. An *error* keeps the episode out: it goes to quarantine with its bytes. A
*warning* lets it in and shows. Every threshold stands here with its reason, and nowhere else.

Being a function of the episode alone is what keeps data versions the same whatever was recorded
before; that is why equal content under two ids is no rule here but a warning about the table
(`worldvla.quality.suites.episodes`), and curation lets one row stand for all of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

# Raise it when a rule, a threshold or a measurement changes: every episode is then measured and judged again.
RULES_VERSION = "1"

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Rule:
    """`low` and `high` are inclusive bounds of `column`; `says` completes "the episode …", `reason` is why there."""

    name: str
    severity: Severity
    column: str
    says: str
    reason: str
    low: float | None = None
    high: float | None = None

    def broken_by(self, facts: Mapping[str, Any]) -> bool:
        value = facts.get(self.column)
        return value is not None and not (
            (self.low is None or value >= self.low) and (self.high is None or value <= self.high)
        )

    def sentence(self, facts: Mapping[str, Any]) -> str:
        """What was measured, against what is allowed."""
        bounds = [
            f"{word} {bound:g}" for word, bound in (("at least", self.low), ("at most", self.high)) if bound is not None
        ]
        return f"{self.name}: {self.says} ({self.column} {facts[self.column]:g}, allowed {' and '.join(bounds)})"


RULES: tuple[Rule, ...] = (
    Rule("no_actions", "error", "length", "has no actions", "nothing can be learned from it", low=1),
    Rule(
        "arrays_disagree",
        "error",
        "arrays_disagreeing",
        "has arrays of other lengths than its actions ask for",
        "T actions have T + 1 states; otherwise no step says which action led where",
        high=0,
    ),
    Rule(
        "incomplete_chunk",
        "error",
        "chunk_remainder",
        "is no whole number of the action chunks it was recorded with",
        "models read whole chunks and would drop the end, which is where outcomes are decided",
        high=0,
    ),
    Rule(
        "frames_missing",
        "error",
        "frames_undecoded",
        "declares other frames than can be decoded",
        "one hole breaks every window that contains it",
        low=0,
        high=0,
    ),
    Rule(
        "picture_size_changes",
        "error",
        "picture_sizes",
        "has pictures of several sizes",
        "a camera that was exchanged or set anew within an episode shows another geometry",
        high=1,
    ),
    Rule(
        "black_frames",
        "error",
        "black_frames",
        "has black frames",
        "a picture without light shows no state; one is enough to break a window",
        high=0,
    ),
    Rule(
        "frozen_frames",
        "error",
        "frozen_frames",
        "shows the same picture while the robot moves",
        "8 in a row are a whole chunk, from which a world model learns that actions do nothing",
        high=7,
    ),
    Rule(
        "frame_repeated",
        "warning",
        "frozen_frames",
        "repeats a picture while the robot moves",
        "a camera slower than the control repeats single frames; recorded simulator episodes repeat none",
        high=0,
    ),
    Rule(
        "timestamps_incomplete",
        "error",
        "timestamps_missing",
        "has timestamps on some frames only",
        "a clock that stops cannot be checked",
        high=0,
    ),
    Rule(
        "timestamp_backward",
        "error",
        "timestamps_backward",
        "has timestamps that do not increase",
        "the order of its frames contradicts their clock",
        high=0,
    ),
    Rule(
        "timestamp_gap",
        "error",
        "timestamp_gap",
        "lacks frames between two timestamps",
        "in periods: from 1.5 on a frame is missing, and one action seems to do the work of two",
        high=1.5,
    ),
    Rule(
        "timestamp_drift",
        "warning",
        "timestamp_drift",
        "drifts away from its declared rate",
        "in periods: from half a period on, a frame lies nearer to another step than to its own",
        high=0.5,
    ),
    Rule(
        "action_not_finite", "error", "actions_not_finite", "has actions that are no numbers", "NaN or infinity", high=0
    ),
    Rule(
        "action_out_of_range",
        "error",
        "action_reach",
        "has actions beyond [-1, 1]",
        "actions are normalized; the tolerance is that of 32-bit floats",
        high=1 + 1e-6,
    ),
    Rule(
        "action_saturation",
        "warning",
        "action_saturation",
        "moves at the bounds of its action space",
        "share of translation and rotation at full deflection: experts and policies stay below 0.1, actions in "
        "another unit that were clipped come near 1; a policy that saturates did so and is no damage",
        high=0.5,
    ),
    Rule(
        "proprio_not_finite",
        "error",
        "proprio_not_finite",
        "has proprioception that is no numbers",
        "NaN or infinity",
        high=0,
    ),
    Rule(
        "proprio_jump",
        "error",
        "proprio_jump",
        "jumps farther in one step than the robot can move",
        "in units of the robot's limit a step: the quickest of 541 recorded episodes reaches 0.5",
        high=1,
    ),
    Rule(
        "proprio_spike",
        "warning",
        "proprio_spike",
        "has a step in proprioception out of all proportion to its others",
        "largest change over the 80th percentile of the same component: contacts reach 41",
        high=80,
    ),
    Rule(
        "reward_not_binary",
        "error",
        "rewards_not_binary",
        "has rewards other than 0 and 1",
        "the reward says whether a state is a success",
        high=0,
    ),
    Rule(
        "progress_out_of_range",
        "error",
        "progress_out_of_range",
        "has progress outside [0, 1]",
        "progress is a share of the way",
        high=0,
    ),
    Rule(
        "reward_contradicts_progress",
        "error",
        "rewards_contradicting_progress",
        "rewards states whose progress is not 1, or does not reward states whose progress is",
        "progress is 1 exactly where a state is a success; labels rest on both",
        high=0,
    ),
    Rule(
        "reward_after_success",
        "error",
        "states_beyond_end",
        "goes on after the success that should have ended it",
        "the recording's own settings (chunk, settle, max_steps) say where it ends; rewards beyond it count a success "
        "again and again",
        high=0,
    ),
    Rule(
        "success_lost",
        "warning",
        "states_success_lost",
        "loses its success again",
        "it counts as success, for any state decides, and a policy that loses what it reached is worth a look",
        high=0,
    ),
    Rule(
        "instruction_empty",
        "error",
        "instruction_characters",
        "has no instruction",
        "the policy would be trained to act without being told",
        low=1,
    ),
    Rule(
        "instruction_of_another_task",
        "error",
        "instruction_foreign",
        "carries the instruction of another task of its suite",
        "the policy would be trained to do one thing when told another",
        high=0,
    ),
    Rule(
        "instruction_unknown",
        "warning",
        "instruction_unknown",
        "carries an instruction that its suite does not know",
        "a paraphrase is no damage, a typing error is",
        high=0,
    ),
)

# Why a record of somebody else's file is no episode at all: nothing can be measured on it, so it has no facts and
# cannot be released. Its place in quarantine says where it lies.
UNMAPPABLE: Mapping[str, str] = {
    "file_unreadable": "the file, or this place in it, cannot be read: truncated, overwritten, of another format",
    "field_missing": "a field that the mapping names is not there",
    "shape_mismatch": "a field has another shape or type than the mapping needs",
    "layout_differs": "its file is laid out otherwise than the first one, by which the mapping was made",
    "frame_count": "there are not as many pictures as actions ask for",
    "video_undecodable": "the video cannot be decoded",
    "too_short": "it has fewer actions than a chunk",
    "success_unclear": "the field that says whether it succeeded holds something else than 0 and 1",
    "task_unknown": "no task of the suite is called as it says",
    "instruction_unknown": "nothing says what was to be done",
    "replay_impossible": "its actions cannot be repeated in the suite's simulator",
    "replay_diverged": "repeated in the simulator, its actions lead elsewhere than recorded",
}


def broken(facts: Mapping[str, Any], severity: Severity) -> list[Rule]:
    """The rules of this severity that the facts break, in the order of `RULES`."""
    return [rule for rule in RULES if rule.severity == severity and rule.broken_by(facts)]
