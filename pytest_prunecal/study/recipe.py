"""Parts of a protocol: how networks are trained, how the channel pruner's base is, what is evaluated."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """How a network is trained: SGD with momentum on cross-entropy.

    Attributes:
        epochs: passes over the training set, >= 0.
        batch: images per step, >= 2.
        learning_rate: of the first epoch.
        schedule: `step` (times `decay` at each of `milestones`, in epochs) or `cosine` (to zero at the end,
            step by step).
        milestones: epochs at which `step` decays, ascending.
        decay: factor of `step`.
        warmup: epochs over which the rate first rises linearly from zero.
        momentum: of SGD.
        weight_decay: L2 penalty on every parameter.
        nesterov: whether momentum is Nesterov's.
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
