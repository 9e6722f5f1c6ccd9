"""Configuration: what a campaign is, validated.

Every default stands in one file, `pipelines/campaigns.yaml` (`WORLDVLA_CAMPAIGNS` names
another): `defaults`, then named `presets`, which may be built on another preset, then
`campaigns`; later ones override. A variant made with `--set` is kept under the project's
home and names the campaign it varies. Each node of the asset graph reads some sections or
parts of them (`planner/graph.py`), and only a change in those makes it stale.
"""

import re
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Label = Literal["success", "near_success", "failure"]
Drawn = Label | Literal["feedback"]  # what fine-tuning draws its windows by: an episode's label, or that it came back
TIME_OF_DAY = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"
# The name, in a field's schema, of the value under which the content of every asset is what it was before there was
# such a setting. Fingerprints leave out a setting that has it: what was computed before stays fresh.
NEUTRAL = "neutral"


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Scene(Section):
    """The world: which simulator, which tasks."""

    suite: str
    tasks: list[str] = Field(min_length=1)
    max_steps: int = Field(gt=0, description="actions an episode may take; a multiple of chunk")
    chunk: int = Field(gt=0, description="actions a policy emits, and frames a world model imagines, at once")
    settle: int = Field(ge=0, description="chunks that a recorded episode goes on after its first success")
    camera_stride: int = Field(
        gt=0,
        description="every so many states of a recorded episode are drawn, of demonstrations each; a divisor of "
        "world_model.frame_stride",
        json_schema_extra={NEUTRAL: 1},
    )


class Demonstrations(Section):
    """Scripted experts with privileged state."""

    per_task: int = Field(ge=1, description="successful demonstrations kept per task")
    tasks: dict[str, Annotated[int, Field(ge=1)]] = Field(
        description="other numbers for single tasks: grasping takes more of them than pushing"
    )

    def of(self, task: str) -> int:
        """How many are kept of a task."""
        return self.tasks.get(task, self.per_task)


class Perturbed(Section):
    """Experts with perturbed aim: near-success and failure."""

    per_task: int = Field(ge=0)


class ActionNoise(Section):
    """How a policy's actions are drawn: see `worldvla.policy.noise`."""

    temperature: float = Field(ge=0, description="divides the logits; 0 takes the most likely action")
    coherence: float = Field(
        ge=0, lt=1, description="share of the variance that a chunk's actions have in common; 0: drawn one by one"
    )
    persistence: float = Field(ge=0, le=1, description="correlation of that common part from chunk to chunk")

    @classmethod
    def one_by_one(cls, temperature: float) -> "ActionNoise":
        """Without coherence: as policies are evaluated."""
        return cls(temperature=temperature, coherence=0.0, persistence=0.0)


class UnderNoises(Section):
    """Rollouts of a policy, one from every initial state under each of several noises."""

    per_task: int = Field(ge=0, description="initial states")
    noises: list[ActionNoise] = Field(min_length=1, description="one rollout from every initial state under each")

    @property
    def rollouts(self) -> int:
        """How many there are of a task."""
        return self.per_task * len(self.noises)


class Exploration(UnderNoises):
    """Rollouts of the base policy: noisy ones show the world model what else might have been done."""


class OpenLoop(Section):
    """Recorded actions, carried out blindly from other initial states: see `worldvla.sim.open_loop`."""

    per_task: int = Field(ge=0)
    nearest: int = Field(ge=1, description="of so many episodes with the nearest initial states, one lends its actions")


class Curation(Section):
    """The near-success rule and the splits; see `worldvla.curation`."""

    near_success_progress: float = Field(
        gt=0, lt=1, description="a failure whose best progress reaches this is near-success"
    )
    validation: float = Field(ge=0, lt=1, description="share of initial states")
    heldout: float = Field(gt=0, lt=1, description="share of initial states")
    exclude: list[Label] = Field(description="labels of episodes that nothing is trained on")

    @model_validator(mode="after")
    def check_shares(self) -> "Curation":
        if self.heldout + self.validation >= 1:
            raise ValueError(f"heldout {self.heldout} and validation {self.validation} leave no states to train on")
        return self


class Autoencoder(Section):
    patch: int = Field(gt=0, description="pixels a side folded into channels before the first convolution")
    latent_channels: int = Field(gt=0)
    channels: list[int] = Field(
        min_length=1, description="widths of the levels, multiples of 8; each after the first halves the resolution"
    )
    layers_per_block: int = Field(gt=0)
    frames: int = Field(ge=1, description="most frames it is trained on, spread evenly over the episodes")
    steps: int = Field(ge=1)
    batch_size: int = Field(gt=0)
    learning_rate: float = Field(gt=0)
    motion_weight: float = Field(
        ge=0, description="extra weight on pixels that differ from the median picture of their task"
    )
    kl_weight: float = Field(ge=0)


class Embodiment(Section):
    """What the robot's own body does and looks like; learned where episodes have proprioception."""

    kinematics_steps: int = Field(ge=1)
    kinematics_learning_rate: float = Field(gt=0)
    horizon: int = Field(ge=1, description="actions that kinematics and contact are rolled out for in training")
    contact_steps: int = Field(ge=1)
    contact_learning_rate: float = Field(gt=0)
    map_steps: int = Field(ge=1)
    map_learning_rate: float = Field(gt=0)
    batch_size: int = Field(gt=0, description="rollouts of kinematics and contact, frames of the map")


class Transformer(Section):
    layers: int = Field(gt=0)
    heads: int = Field(gt=0)
    head_dim: int = Field(ge=12)
    patch: int = Field(gt=0)
    history: int = Field(ge=1, description="latest frames given besides the first-frame anchor")


class WorldModelTraining(Section):
    batch_size: int = Field(gt=0)
    learning_rate: float = Field(gt=0)
    ema_decay: float = Field(ge=0, lt=1)
    context_noise: float = Field(ge=0, lt=1, description="largest noise level put on history latents in training")
    reward_weight: float = Field(ge=0)
    shift: int = Field(ge=0, description="latent cells by which a training window is moved at most")


class WorldModelArchitecture(Section):
    """What the pre-trained world model is and how it learns."""

    image_size: int = Field(gt=0, description="pixels a side that models see; frames are stored larger")
    frame_stride: int = Field(gt=0, description="every so many frames one is imagined; a divisor of scene.chunk")
    autoencoder: Autoencoder
    embodiment: Embodiment
    transformer: Transformer
    training: WorldModelTraining
    pretrain_steps: int = Field(ge=1)


class WorldModelFineTuning(Section):
    """How each iteration fine-tunes the pre-trained world model on its SANS."""

    steps: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    sampling: dict[Drawn, float] = Field(
        description="share of training windows drawn from each label and, under feedback, from what came back of "
        "earlier iterations whatever its label; what is absent gives its share to the others; a window that begins a "
        "rollout in imagination stands for its whole episode"
    )
    validate_every: int = Field(ge=1, description="steps after which outcomes of validation episodes are told anew")
    calibration_episodes: int = Field(
        ge=2,
        description="validation episodes, balanced by outcome, over all tasks, that success thresholds and the weights "
        "kept are chosen on",
    )


class Imagination(Section):
    """How frames are sampled from the world model, in alignment and in RL alike."""

    denoising_steps: int = Field(ge=1)


class Judge(Section):
    """The success classifier trained on real frames only."""

    steps: int = Field(ge=1)
    batch_size: int = Field(gt=0)
    learning_rate: float = Field(gt=0)
    channels: list[int] = Field(min_length=2)


class Gate(Section):
    """Thresholds a world model must reach before a policy may train in it."""

    psnr_db: float
    ssim: float
    visual_alignment: float
    reward_alignment: float


class Alignment(Section):
    episodes: int = Field(ge=2, description="held-out episodes, balanced by outcome, over all tasks")
    gate: Gate


class PolicyArchitecture(Section):
    """The vision-language-action policy and its supervised fine-tuning."""

    image_size: int = Field(gt=0)
    patch: int = Field(gt=0)
    width: int = Field(gt=0)
    vision_layers: int = Field(gt=0)
    language_layers: int = Field(gt=0)
    heads: int = Field(gt=0)
    bins: int = Field(ge=3, description="levels an action dimension is discretized into")
    steps: int = Field(ge=1)
    batch_size: int = Field(gt=0)
    learning_rate: float = Field(gt=0)
    label_smoothing: float = Field(ge=0, lt=1)

    @model_validator(mode="after")
    def check_sizes(self) -> "PolicyArchitecture":
        if self.bins % 2 == 0:
            raise ValueError(f"bins {self.bins} must be odd, so that one bin is exactly 0")
        if self.patch % 4 or self.image_size % (2 * self.patch):
            raise ValueError(f"patch {self.patch} must be a multiple of 4, image_size {self.image_size} of two patches")
        if self.width % 4 or self.width % (2 * self.heads):
            raise ValueError(f"width {self.width} must be a multiple of 4 and of twice the {self.heads} heads")
        return self


class Keyframes(Section):
    """Start states of imagined rollouts that lie near a failure (WoVR's KIR)."""

    share: float = Field(ge=0, le=1, description="share of RL groups started at a keyframe")
    lead: int = Field(ge=1, description="actions before a failure's best moment at which a keyframe is taken")


class Probes(Section):
    """The real simulator, asked on tuning seeds while a policy learns in imagination: what is worse in it than it began
    rests, and the best policy asked about is kept."""

    every: int = Field(ge=0, description="updates between two probes; 0: none, no simulator step is spent")
    per_task: int = Field(ge=1, description="tuning seeds")
    hold_weight: float = Field(
        ge=0,
        description="weight of the divergence from the policy that the iteration began from, on recorded pictures of "
        "tasks that rest; 0: they become what the others make of them",
        json_schema_extra={NEUTRAL: 0.0},
    )


class ReinforcementLearning(Section):
    """GRPO inside the world model, or the control that spends the same real episodes without it."""

    start: Literal["base", "latest"] = Field(
        description="the policy that an iteration begins from: the base policy, or that of the iteration before it"
    )
    method: Literal["grpo", "supervised"] = Field(
        description="supervised: the base policy is fine-tuned further on the real successes instead"
    )
    reward: Literal["head", "judge", "both"] = Field(
        description="who says which imagined frames show success; both: where head and judge do"
    )
    exploitation_gap: float = Field(
        gt=0, description="share of rollouts, imagined as successes, that the judge may miss more of than at first"
    )
    updates: int = Field(ge=1)
    groups: int = Field(ge=1, description="start states an update")
    group_size: int = Field(ge=2)
    noise: ActionNoise = Field(description="under which the policy acts in imagination")
    learning_rate: float = Field(gt=0)
    clip_low: float = Field(gt=0, lt=1)
    clip_high: float = Field(gt=0)
    epochs: int = Field(ge=1, description="passes over an update's rollouts")
    minibatch: int = Field(gt=0, description="most action chunks a gradient step")
    freeze_encoders: bool = Field(
        description="whether what encodes pictures and instructions stays as it was; the language model and what reads "
        "actions from it learn",
        json_schema_extra={NEUTRAL: False},
    )
    kl_weight: float = Field(
        ge=0, description="weight of the divergence from the policy that the iteration began from; 0: none"
    )
    cloning_weight: float = Field(
        ge=0, description="weight of behaviour cloning on the successes among the same real episodes; 0: none"
    )
    probe: Probes

    @field_validator("noise")
    @classmethod
    def _explores(cls, noise: ActionNoise) -> ActionNoise:
        if not noise.temperature:
            raise ValueError("temperature must be above 0: a policy that is always sure of itself cannot improve")
        return noise


class Evaluation(Section):
    """Base and new policy on the same held-out initial states of the real simulator."""

    per_task: int = Field(ge=1, description="held-out initial states")
    first: int = Field(ge=0, lt=90_000, description="how many seeds of the held-out range are passed over first")
    temperature: float = Field(ge=0, description="0 takes the most likely action")


class Collection(UnderNoises):
    """Rollouts of the new policy on training initial states: they feed the next iteration."""

    per_task: int = Field(ge=1, description="initial states")


class Execution(Section):
    """How, not what: no asset's fingerprint reads it."""

    workers: int = Field(ge=0, description="rollout processes; 0 means one per core")
    checkpoint_seconds: float = Field(gt=0)
    compile: bool = Field(
        description="fuse the world model's kernels with torch's compiler: slow at first, then faster; needs g++"
    )


class Nightly(Section):
    """Whether, when and how far the schedule carries the campaign; no fingerprint reads it. See docs/nightly.md."""

    enabled: bool
    iterations: int = Field(ge=1, description="iterations after which the schedule stops")
    start: str = Field(pattern=TIME_OF_DAY, description="when a night starts, as '01:00' in quotes, in time_zone")
    time_zone: str = Field(description="IANA name, for example Europe/Berlin")
    deadline: str | None = Field(
        pattern=TIME_OF_DAY, description="when no further run of that night is started; null: the next night's start"
    )
    at_deadline: Literal["finish", "terminate"] = Field(description="what becomes of a run that the deadline meets")
    missed: Literal["skip", "catch_up"] = Field(description="what becomes of a night that nothing could start in")
    fresh_hours: float | None = Field(
        gt=0, description="hours after which the newest iteration is overdue; null: never"
    )
    notify: list[str] = Field(description="log, webhook, or `package.module:attribute` of a notifier")

    @field_validator("time_zone")
    @classmethod
    def check_time_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"{name!r} is no time zone; give an IANA name, for example Europe/Berlin") from None
        return name

    @field_validator("notify")
    @classmethod
    def check_notify(cls, names: list[str]) -> list[str]:
        for name in names:
            if name not in ("log", "webhook") and not re.fullmatch(r"[\w.]+:\w+", name):
                raise ValueError(f"{name!r} is none of log, webhook; write others as package.module:attribute")
        return names

    @model_validator(mode="after")
    def check_deadline(self) -> "Nightly":
        if self.deadline == self.start:
            raise ValueError("deadline is the start: give another time, or null for none")
        if self.deadline is None and self.at_deadline == "terminate":
            raise ValueError(
                "deadline: terminate needs one; with null a run would be ended just after the next night had found it "
                "at work and started nothing"
            )
        return self


class Campaign(Section):
    """One named configuration; a partition of every asset."""

    seed: int = Field(ge=0)
    scene: Scene
    demonstrations: Demonstrations
    imports: list[str] = Field(description="names of imports whose episodes the world model learns from")
    imported_demonstrations: list[str] = Field(
        description="those among them whose successes the base policy imitates, besides its own demonstrations"
    )
    perturbed: Perturbed
    exploration: Exploration
    open_loop: OpenLoop
    curation: Curation
    world_model: WorldModelArchitecture
    fine_tuning: WorldModelFineTuning
    imagination: Imagination
    judge: Judge
    alignment: Alignment
    policy: PolicyArchitecture
    keyframes: Keyframes
    rl: ReinforcementLearning
    evaluation: Evaluation
    collection: Collection
    execution: Execution
    nightly: Nightly

    @model_validator(mode="after")
    def check_frame_stride(self) -> "Campaign":
        if self.scene.chunk % (stride := self.world_model.frame_stride):
            raise ValueError(f"world_model.frame_stride {stride} does not divide scene.chunk {self.scene.chunk}")
        if stride % (camera := self.scene.camera_stride):
            raise ValueError(f"scene.camera_stride {camera} does not divide world_model.frame_stride {stride}")
        return self

    @model_validator(mode="after")
    def check_imports(self) -> "Campaign":
        if unlisted := sorted(set(self.imported_demonstrations) - set(self.imports)):
            raise ValueError(f"imported_demonstrations {', '.join(unlisted)}: list them in imports, too")
        return self
