"""Protocols: all that turns a cell into numbers, as frozen types; see `protocol_file` for the file."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from pytest_prunecal.study.digest import digest

if TYPE_CHECKING:
    from pytest_prunecal.study.prior import Noise
    from pytest_prunecal.study.recovery import Recovery
    from pytest_prunecal.study.tolerance import Tolerance

_NOT_MEASURING = {
    *("name", "description", "ratios", "pruners", "threads"),
    *("tolerance", "noise", "min_effect", "false_alarms", "repeat", "recovery"),
}


OPTIMISERS, SCHEDULES = ("sgd", "adamw"), ("step", "cosine")
LEAST_BATCH = 2  # batch norm has no variance of a single image


@dataclass(frozen=True)
class Recipe:
    """How a network is trained: by SGD with momentum or by AdamW, on cross-entropy.

    Attributes:
        epochs: passes over the training set, >= 0.
        batch: images per step, >= `LEAST_BATCH`.
        learning_rate: of the first epoch.
        schedule: `step` (times `decay` at each of `milestones`, in epochs) or `cosine` (to zero at the end,
            step by step).
        milestones: epochs at which `step` decays, ascending.
        decay: factor of `step`.
        warmup: epochs over which the rate first rises linearly from zero.
        momentum: of SGD.
        weight_decay: of every parameter: an L2 penalty under `sgd`, decoupled decay under `adamw`.
        nesterov: whether SGD's momentum is Nesterov's.
        optimiser: `sgd`, or `adamw` (Loshchilov and Hutter 2019, arXiv 1711.05101).
        betas: of AdamW: what the running means of gradients and of their squares keep a step, in [0, 1).
        eps: of AdamW: added to the root in the denominator, > 0.
        label_smoothing: share of the label that all classes get alike, in [0, 1) (Szegedy et al. 2016,
            arXiv 1512.00567, section 7).
        clip_norm: what the gradient's Euclidean norm over all parameters is scaled down to where it is larger
            (Pascanu et al. 2013, arXiv 1211.5063); 0 for never.
    """

    epochs: int
    batch: int
    learning_rate: float
    schedule: str
    milestones: tuple[int, ...]
    decay: float
    warmup: float
    momentum: float
    weight_decay: float
    nesterov: bool
    optimiser: str = "sgd"
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    label_smoothing: float = 0.0
    clip_norm: float = 0.0

    @property
    def measuring(self) -> dict[str, Any]:
        """All of it that changes numbers, as plain data.

        A field that has a default is left out where it has that: what is added here leaves fingerprints as
        they were.
        """
        found = {field.name: (getattr(self, field.name), field.default) for field in fields(self)}
        return {name: value for name, (value, default) in found.items() if value != default}


@dataclass(frozen=True)
class Slimming:
    """Sparsity training of the base that the channel pruner starts from (Liu et al. 2017).

    Attributes:
        scale: initial value of every BN scale.
        penalty: lambda of the L1 subgradient on BN scales, by model name; `default` for the others.
    """

    scale: float
    penalty: dict[str, float]

    def lambda_of(self, model: str) -> float:
        """Lambda of one model."""
        return self.penalty.get(model, self.penalty["default"])


@dataclass(frozen=True)
class Evaluation:
    """What is evaluated, and how.

    Attributes:
        batch: images per forward pass.
        bins: number of equal-mass bins of the ECE.
        corruptions: names of the corruptions, in the order of the report.
        severities: severities of each, in 1..5.
        source: `generated`, `published` (CIFAR-10-C as distributed) or `auto` (published where it lies in
            the data folder).
    """

    batch: int
    bins: int
    corruptions: tuple[str, ...]
    severities: tuple[int, ...]
    source: str


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """All that turns a cell into numbers.

    Attributes:
        name: names the folder of baselines.
        description: for people.
        dataset: the data set's name under `name`, and its options.
        mean: per-channel mean of the normalisation, for images in [0, 1].
        std: per-channel standard deviation of the normalisation.
        pad: zero-padding in pixels before the random crop of training images; 0 for no crop.
        flip: whether training images are flipped horizontally at random.
        width: multiplier of every channel count, by model name; `default` for the others.
        ratios: pruning ratios of the grid, 0 for the dense cell.
        pruners: pruners of the grid.
        base: recipe of base training.
        finetune: recipe of fine-tuning after pruning, with a fresh optimiser.
        slimming: how the channel pruner's base is trained instead.
        evaluation: what is evaluated.
        seed: root of every random number of a measurement.
        threads: CPU threads that measure; results may differ in the last bits between thread counts.
        precision: that training and evaluation compute in; weights and metrics are float32 and float64.
        tolerance: default tolerances by metric.
        noise: what is known beforehand of the training noise.
        min_effect: by metric, the change below which nobody cares.
        false_alarms: rate of runs over a model's whole grid that may fail although nothing changed, in (0,
            0.5].
        recovery: by metric, what a compressed network keeps of the dense one of the same run.
        repeat: how many seeds a cell that is in doubt is measured over at most, from 1 to `looks.MOST`.
    """

    name: str
    description: str = ""
    dataset: dict[str, str | int | float | bool]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    pad: int
    flip: bool
    width: dict[str, float]
    ratios: tuple[float, ...]
    pruners: tuple[str, ...]
    base: Recipe
    finetune: Recipe
    slimming: Slimming
    evaluation: Evaluation
    seed: int
    threads: int
    precision: str
    tolerance: dict[str, Tolerance] = field(default_factory=dict)
    noise: Noise
    min_effect: dict[str, Tolerance]
    false_alarms: float
    repeat: int
    recovery: dict[str, Recovery] = field(default_factory=dict)

    def width_of(self, model: str) -> float:
        """Multiplier of one model's channel counts."""
        return self.width.get(model, self.width["default"])

    @property
    def fingerprint(self) -> str:
        """Eight hex digits over everything that changes a cell's numbers.

        Leaves out what only selects or judges cells, and threads, which a baseline's environment records.
        """
        return digest(self.measuring)[:8]

    @property
    def measuring(self) -> dict[str, Any]:
        """Everything that changes a cell's numbers, threads apart, as plain data."""
        found = {key: value for key, value in asdict(self).items() if key not in _NOT_MEASURING}
        return found | {"base": self.base.measuring, "finetune": self.finetune.measuring}

    def base_fingerprint(self, model: str, kind: str) -> str:
        """Eight hex digits over everything of the protocol that shapes a base network.

        Args:
            model: the model's name.
            kind: `plain`, or `slimmed` for the base of pruners that need sparsity training.
        """
        slimming = [self.slimming.scale, self.slimming.lambda_of(model)] if kind == "slimmed" else None
        inputs = [self.dataset, self.mean, self.std, self.pad, self.flip, self.width_of(model)]
        return digest([self.base.measuring, slimming, inputs, self.seed, self.precision])[:8]
