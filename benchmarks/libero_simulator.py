"""`make benchmark-libero-simulator`: how fast LIBERO resets, steps and draws, beside robosuite's own stepping.

Figures are per second of processor time, of all threads: what else runs on the machine then
does not change them. Ours and robosuite's steps take turns on one scene under the same actions,
and must lead to the same state to the bit. Needs LIBERO's meshes (docs/libero.md).
"""

import os

import numpy as np

from benchmarks.processor_clock import ProcessorClock
from benchmarks.result import figure, write
from worldvla.sim import suites
from worldvla.sim.libero.simulator import LiberoSimulator

TASKS = {
    "libero_spatial": "pick_up_the_black_bowl_on_the_stove_and_place_it_on_the_plate",
    "libero_object": "pick_up_the_milk_and_place_it_in_the_basket",
    "libero_goal": "put_the_bowl_on_the_plate",
}
ROUNDS = 8
STEPS = 20
PICTURES = 5


def main() -> None:
    os.environ.setdefault("LP_NUM_THREADS", "1")
    figures, ratios = [], []
    for suite, task in TASKS.items():
        simulator = suites.make(suite, task)
        spent = measure(simulator)
        simulator.close()
        for name, per_measurement in (("reset", 1), ("step", STEPS), ("robosuite's step", STEPS), ("frame", PICTURES)):
            rate = per_measurement / float(np.median(spent[name]))
            figures.append(figure(f"{suite}: {name}s", rate, "/s of processor", ROUNDS))
        ratios += [theirs / ours for ours, theirs in zip(spent["step"], spent["robosuite's step"], strict=True)]
    figures.append(figure("step against robosuite's", float(np.median(ratios)), "times", len(ratios), at_least=1.5))
    protocol = {"tasks": TASKS, "rounds": ROUNDS, "steps": STEPS, "picture": "128 x 128, agentview"}
    write("libero-simulator", protocol | {"renderer": os.environ["MUJOCO_GL"]}, figures)


def measure(simulator: LiberoSimulator) -> dict[str, list[float]]:
    """Processor seconds of each kind of work in each round."""
    clock = ProcessorClock()

    def step(action: np.ndarray) -> None:
        simulator.step(action, render=False)

    simulator.reset(0)
    for turn in range(ROUNDS):
        actions = np.random.default_rng(turn).uniform(-1, 1, (STEPS, 7)).astype(np.float32)
        clock("reset", lambda seed: simulator.reset(seed, render=False), [turn])
        start = simulator.snapshot()
        clock("step", step, actions)
        reached = simulator.state()
        clock("frame", lambda _: simulator.render(), range(PICTURES))
        simulator.restore(start, render=False)
        clock("robosuite's step", simulator._env.step, actions * np.array([1.0, 1, 1, 1, 1, 1, -1]))
        simulator._arrive()
        assert np.array_equal(simulator.state(), reached)
    return clock.seconds


if __name__ == "__main__":
    main()
