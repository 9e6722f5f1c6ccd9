import random
from collections import Counter

from worldvla.alignment.gate import check
from worldvla.alignment.intervals import proportion
from worldvla.alignment.selection import choose, choose_deciding
from worldvla.config import Gate

GATE = Gate(psnr_db=20, ssim=0.7, visual_alignment=0.6, reward_alignment=0.6)


def episodes(counts, paired=False):
    return [
        {
            "episode_id": f"{task}-{success}-{i}",
            "task": task,
            "success": success,
            "initial_state_digest": f"{i // 2 if paired else i}",
        }
        for (task, success), count in counts.items()
        for i in range(count)
    ]


def balance(chosen):
    return Counter(tuple(i.split("-")[:2]) for i in chosen)


def test_outcomes_and_tasks_are_balanced():
    chosen = choose(episodes({("a", True): 30, ("a", False): 9, ("b", True): 4, ("b", False): 40}), 16)
    assert balance(chosen) == {("a", "True"): 4, ("a", "False"): 4, ("b", "True"): 4, ("b", "False"): 4}


def test_a_short_task_is_made_up_for_by_the_others_and_no_more():
    held = episodes({("a", True): 30, ("a", False): 9, ("b", True): 2, ("b", False): 40})
    assert balance(choose(held, 16))["a", "True"] == 6
    assert len(choose(held, 1000)) == 22


def test_the_order_given_is_no_matter_and_a_new_episode_displaces_at_most_one():
    held = episodes({("a", True): 20, ("a", False): 20})
    chosen = choose(held, 12)
    random.Random(0).shuffle(held)
    assert choose(held, 12) == chosen
    new = {"episode_id": "new", "task": "a", "success": True}
    for state in ("new", "0"):
        assert len(set(chosen) - set(choose([*held, new | {"initial_state_digest": state}], 12))) <= 1


def test_scripted_episodes_decide_only_where_the_others_do_not_suffice():
    acted = [one | {"source": "policy"} for one in episodes({("a", True): 5, ("a", False): 40})]
    scripted = [
        one | {"source": source, "episode_id": f"{source}-{one['episode_id']}"}
        for one in episodes({("a", True): 20, ("a", False): 20})
        for source in ("expert", "perturbed")
    ]
    assert set(choose_deciding([*scripted, *acted], 8)) <= {one["episode_id"] for one in acted}
    filled = choose_deciding([*scripted, *acted], 16)
    assert len(filled) == 16 and len({one["episode_id"] for one in acted} & set(filled)) == 10
    assert len(choose_deciding(scripted, 8)) == 8


def test_what_begins_alike_is_chosen_twice_only_when_every_start_was_once():
    held = episodes({("a", True): 20, ("a", False): 20}, paired=True)
    starts = {episode["episode_id"]: episode["initial_state_digest"] for episode in held}
    for count, most in ((20, 1), (24, 2)):
        chosen = [one for one in choose(held, count) if "True" in one]
        assert max(Counter(starts[one] for one in chosen).values()) == most and len(chosen) == count // 2


def test_without_both_outcomes_there_is_nothing_to_measure():
    assert choose(episodes({("a", True): 5}), 4) == []


def summary(**changes):
    sound = {
        "n": 50,
        "psnr_last": 24.0,
        "ssim": 0.9,
        "visual_alignment": proportion(40, 50),
        "reward_alignment": proportion(45, 50),
    }
    return sound | changes


def test_a_sound_world_model_passes():
    assert check(summary(), GATE) == []


def test_a_failure_names_what_was_measured_and_what_was_asked():
    (image,) = check(summary(psnr_last=18.456), GATE)
    assert image == "PSNR at the last step is 18.46 dB, below 20 dB (n = 50)"
    (outcome,) = check(summary(reward_alignment=proportion(25, 50)), GATE)
    assert outcome == "reward alignment is 50.0% (25 of 50, 95 % interval 36.6% to 63.4%), below 60.0%"
    assert len(check(summary(ssim=float("nan"), visual_alignment=proportion(1, 50)), GATE)) == 2
