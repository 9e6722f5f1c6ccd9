"""Trainings that diverge, refused where it happens.

Weights that are no numbers stay so to the last step, and whatever they predict is a number again
somewhere: black frames, the first action's bin. What would be published looks like a bad model.
"""

import math

from worldvla.errors import UserError

LEARNING_RATES = {
    "autoencoder": "world_model.autoencoder.learning_rate",
    "kinematics": "world_model.embodiment.kinematics_learning_rate",
    "contact": "world_model.embodiment.contact_learning_rate",
    "embodiment_map": "world_model.embodiment.map_learning_rate",
    "dynamics": "world_model.training.learning_rate, in an iteration fine_tuning.learning_rate",
    "judge": "judge.learning_rate",
    "sft": "policy.learning_rate",
    "rl": "rl.learning_rate",
}


def refuse_divergence(stage: str, step: int, value: float) -> None:
    """Raises `UserError` where the loss or the gradient's norm of a stage at its step `step` is not finite."""
    if not math.isfinite(value):
        lower = LEARNING_RATES.get(stage, "its learning rate")
        raise UserError(f"{stage}: the training diverged: at step {step} loss or gradient is {value}; lower {lower}")
