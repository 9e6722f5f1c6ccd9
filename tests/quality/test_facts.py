"""Every rule is broken by an episode that is really damaged, and by no sound one."""

import time
from dataclasses import replace

import numpy as np
import pytest

from tests.factories import seldom_drawn, synthetic_episode
from tests.quality import damage
from worldvla.episodes.images import encode_image
from worldvla.lake.tables import TABLES
from worldvla.quality.facts import measure
from worldvla.quality.rules import RULES


def test_a_sound_episode_breaks_nothing():
    facts = measure(damage.sound())
    assert facts["errors"] == facts["warnings"] == []
    assert facts["first_success"] == 5 and facts["frozen_frames"] == 0 and facts["darkest_frame"] > 60
    assert measure(damage.clocked())["errors"] == []


def test_every_rule_has_its_damage():
    def of(severity):
        return {rule.name for rule in RULES if rule.severity == severity}

    assert set(damage.ERRORS) == of("error") and set(damage.WARNINGS) == of("warning")


@pytest.mark.parametrize("name", damage.ERRORS)
def test_an_error_is_found_and_says_what_was_measured(name):
    facts = measure(damage.ERRORS[name]())
    assert name in facts["errors"]
    # Nothing else is claimed: a frame that goes back in time leaves a gap behind it.
    follows = {"timestamp_backward": {"timestamp_gap"}}
    assert set(facts["errors"]) - {name} <= follows.get(name, set())
    (rule,) = [rule for rule in RULES if rule.name == name]
    assert f"{facts[rule.column]:g}" in rule.sentence(facts)


@pytest.mark.parametrize("name", damage.WARNINGS)
def test_a_warning_is_no_error(name):
    facts = measure(damage.WARNINGS[name]())
    assert (facts["errors"], facts["warnings"]) == ([], [name])


def test_what_is_measured():
    assert measure(damage.truncated())["frames_undecoded"] == 1
    assert measure(damage.frozen(5))["frozen_frames"] == 5
    assert measure(damage.black())["black_frames"] == 1
    assert measure(damage.longer(2))["states_beyond_end"] == 16
    assert measure(damage.ERRORS["timestamp_gap"]())["timestamp_gap"] == pytest.approx(2.0)
    assert measure(damage.ERRORS["proprio_jump"]())["proprio_jump"] == pytest.approx(0.92 / 0.75, abs=0.01)
    foreign = measure(damage.sound(instruction=damage.OTHER))
    assert (foreign["instruction_task"], foreign["instruction_foreign"]) == ("StackCube-v1", 1)


def test_a_still_robot_may_show_a_still_picture():
    still = damage.sound()
    still = replace(still, proprio=still.proprio[:1].repeat(len(still.proprio), 0), images=[still.images[0]] * 17)
    assert measure(still)["frozen_frames"] == 0
    blind = replace(still, proprio=np.zeros((17, 0), np.float32))
    assert measure(blind)["frozen_frames"] == 16  # reports no joints, but its actions are not zero


def test_what_a_camera_does_not_draw_is_not_missed():
    sound = seldom_drawn(damage.sound(), 4)
    facts = measure(sound)
    assert facts["errors"] == facts["warnings"] == []
    assert (facts["frames_declared"], facts["frames_undecoded"]) == (5, 0)
    images = list(sound.images)
    images[8] = b""
    assert measure(replace(sound, images=images))["frames_undecoded"] == 1
    images[8] = images[4]
    assert measure(replace(sound, images=images))["frozen_frames"] == 4


def test_more_pictures_than_declared_are_an_error():
    episode = damage.sound(images=[*damage.sound().images, damage.picture(3)])
    assert "frames_missing" in measure(episode)["errors"]
    assert "frames_missing" in measure(synthetic_episode(1, images=False))["errors"]


def test_an_episode_of_an_unknown_suite_is_judged_by_what_is_known_of_all():
    facts = measure(synthetic_episode(1))
    assert facts["errors"] == []
    assert facts["proprio_jump"] is facts["instruction_task"] is facts["timestamp_gap"] is None


@pytest.mark.parametrize("empty", ["images", "proprio", "actions", "reward", "progress"])
def test_measuring_never_fails(empty):
    nothing = [] if empty == "images" else np.zeros((0, 7) if empty in ("proprio", "actions") else 0, np.float32)
    assert measure(damage.sound(**{empty: nothing}))["errors"]
    assert measure(damage.sound(images=[b"", b"no picture", b"\x89PNG\r\n\x1a\nbroken"]))["frames_undecoded"] == 17


def test_facts_are_the_columns_of_their_table():
    facts = measure(damage.sound())
    assert set(facts) == set(TABLES["episode_facts"].schema.names)
    assert {rule.column for rule in RULES} <= set(facts)
    TABLES["episode_facts"].arrow([facts])


def test_rules_say_what_and_why():
    assert len({rule.name for rule in RULES}) == len(RULES)
    assert all(rule.says and rule.reason and (rule.low, rule.high) != (None, None) for rule in RULES)


def test_measuring_is_fast():
    """Under 10 ms for 48 actions at 128 pixels on a free core; the limit leaves room for a busy one."""
    noise = np.random.default_rng(0).integers(0, 255, (49, 128, 128, 3), dtype=np.uint8) // 8 + 90
    long = damage.sound(
        images=[encode_image(image) for image in noise],
        proprio=np.cumsum(np.full((49, 18), 0.01, np.float32), 0),
        actions=np.zeros((48, 7), np.float32),
        reward=np.zeros(49, np.float32),
        progress=np.zeros(49, np.float32),
    )
    assert measure(long)["errors"] == []
    best = min(_seconds(lambda: measure(long)) for _ in range(5))
    assert best < 0.04


def _seconds(call) -> float:
    begin = time.process_time()
    call()
    return time.process_time() - begin
