"""`make benchmark-limits`: what limits a campaign, taken apart. Autoencoder, kinematics, dynamics, reward head, policy.

`python -m benchmarks.limits [HOME] --campaign NAME --iteration 0000` reads what the home holds and trains nothing:
the iteration's world model, the campaign's judge and base policy and, once it is there, the iteration's policy. Asked
are episodes of the validation split, as many successes as failures, and tuning seeds; nothing that is held out, so
settings may be chosen by it. docs/learning.md describes the figures.
"""

import argparse
import os
from pathlib import Path

from benchmarks.campaign_home import Home, look
from benchmarks.limits_policy import acting, explored, rated
from benchmarks.limits_world_model import world_model_limits
from benchmarks.result import write
from worldvla import campaigns
from worldvla.alignment.judge import Judge
from worldvla.alignment.selection import choose, choose_deciding
from worldvla.config import Campaign
from worldvla.episodes.episode import Source
from worldvla.episodes.frame_bank import FrameBank
from worldvla.errors import UserError, told
from worldvla.lake.episodes import episode_rows, load_bank
from worldvla.lake.materializations import Materialization
from worldvla.lake.models import read_model
from worldvla.lake.store import Lake, quoted
from worldvla.partitions import iteration_key
from worldvla.policy.vla import Policy
from worldvla.world_model.model import WorldModel


def main() -> None:
    given = arguments()
    if given.home:
        os.environ["WORLDVLA_HOME"] = str(given.home.resolve())
    with told():
        config = campaigns.load(given.campaign)
        home = look(Lake.default(), {given.campaign: int(given.iteration) + 1})
        protocol, figures = limits(
            home, config, given.campaign, given.iteration, given.episodes, given.rollouts, given.seeds
        )
    print(write(f"limits-{given.campaign}-{given.iteration}", protocol, figures))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.limits")
    parser.add_argument("home", nargs="?", type=Path, help="the home of all data; WORLDVLA_HOME, or var, when left out")
    parser.add_argument("--campaign", default="tabletop")
    parser.add_argument("--iteration", type=lambda number: iteration_key(int(number)), default=iteration_key(0))
    parser.add_argument("--episodes", type=positive, default=120, help="of the validation split, over all tasks")
    parser.add_argument(
        "--rollouts", type=positive, default=4, help="of each policy from each of these episodes' starts"
    )
    parser.add_argument("--seeds", type=positive, default=100, help="tuning seeds a task on which policies are rated")
    return parser.parse_args()


def positive(text: str) -> int:
    """A number from 1 on; argparse says what was written instead."""
    if not text.isascii() or not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)


def limits(
    home: Home, config: Campaign, campaign: str, iteration: str, episodes: int, rollouts: int, seeds: int
) -> tuple[dict, list[dict]]:
    """The protocol, and the figures of the world model and of each policy; `UserError` where they are not fresh."""
    lake = home.lake
    made = {
        asset: record
        for asset, key in (
            ("base_policy", ""),
            ("judge", ""),
            ("world_model", iteration),
            ("sans", iteration),
            ("rl_policy", iteration),
        )
        if (record := home.records.get((asset, campaign, key)))
    }
    if lacking := {"base_policy", "judge", "world_model", "sans"} - made.keys():
        raise UserError(
            f"{campaign} {iteration} has no fresh {', '.join(sorted(lacking))}: "
            f"`worldvla loop --campaign {campaign}` makes them, `worldvla status --campaign {campaign}` says why"
        )
    bank, seed_of, decided = validation(lake, made["sans"], config, episodes)
    stored = read_model(lake, made["world_model"].data_version)
    model = WorldModel.from_bytes(stored.config, stored.weights)
    stored = read_model(lake, made["judge"].data_version)
    judge = Judge.from_bytes(stored.config, stored.weights)
    figures = world_model_limits(model, bank, config.imagination, config.seed)
    for name in ("base_policy", "rl_policy"):
        if name in made:
            stored = read_model(lake, made[name].data_version)
            policy = Policy.from_bytes(stored.config, stored.weights)
            figures += acting(name, policy, model, judge.probabilities, bank, seed_of, config, rollouts)
            figures += rated(name, stored, seeds, config)
    if "rl_policy" in made and (history := made["rl_policy"].details["history"]):
        figures += explored(history)
    protocol = {
        "campaign": campaign,
        "iteration": iteration,
        "episodes": "validation split, as many successes as failures; their first frames are where policies begin",
        "of them decided the world model's weights and thresholds": decided,
        "rollouts of each policy from each of them": rollouts,
        "tuning seeds a task": seeds,
        "noise": {"in imagination": config.rl.noise.model_dump(), "on tuning seeds": config.evaluation.temperature},
        "assets": {asset: record.data_version for asset, record in made.items()},
        "settings": config.model_dump(mode="json"),
    }
    return protocol, figures


def validation(
    lake: Lake, sans: Materialization, config: Campaign, count: int
) -> tuple[FrameBank, dict[str, int], int]:
    """Episodes of the validation split at the world model's image size, the seed of each, and how many of them decided
    which weights the world model has and what counts as success: none, where there are others."""
    split = lake.frame("sans", ["episode_id"], f"sans_version = {quoted(sans.data_version)} AND split = 'validation'")
    rows = episode_rows(lake, split["episode_id"].to_list())
    deciding = choose_deciding(rows.to_dicts(), config.fine_tuning.calibration_episodes)
    # A foreign recording's seed is not the suite's: nobody could begin there.
    rows = rows.filter(rows["source"] != Source.IMPORT, rows["suite"] == config.scene.suite)
    others = rows.filter(~rows["episode_id"].is_in(deciding))
    chosen = choose(others.iter_rows(named=True), count) or choose(rows.iter_rows(named=True), count)
    if not chosen:
        raise UserError("no task has both a success and a failure in the validation split: raise curation.validation")
    bank = load_bank(lake, chosen, config.world_model.image_size)
    return bank, dict(rows.select("episode_id", "seed").iter_rows()), len({*chosen} & {*deciding})


if __name__ == "__main__":
    main()
