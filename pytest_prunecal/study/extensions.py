"""What a user's conftest.py adds to the built-in models, pruners, data sets and metrics."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_prunecal.study.metric import Metric
    from pytest_prunecal.study.pruner import Pruner

Registrar = tuple[str, Path]
"""A module that adds something: its name and its file."""


@dataclass(frozen=True)
class Extensions:
    """A user's own, each by name; a text is `package.module:attribute`, imported when it is first needed.

    Attributes:
        models: builders of networks.
        pruners: rows of pruners, or where such a row is; the latter take a ratio.
        datasets: loaders `(root, **options) -> Dataset`.
        metrics: metrics whose `function` takes logits (N, classes) and labels (N,).
        candidates: finished networks, by `MODEL:NAME`: their files, or what builds them.
        registrars: the modules whose hooks add these.
        plugins: every conftest.py and other plugin of the user's own; they may do anything to this process.
        files: files that any of them reads, such as a table beside a model.
    """

    models: dict[str, str | Callable[..., Any]] = field(default_factory=dict)
    pruners: dict[str, str | Pruner] = field(default_factory=dict)
    datasets: dict[str, str | Callable[..., Any]] = field(default_factory=dict)
    metrics: dict[str, Metric] = field(default_factory=dict)
    candidates: dict[str, str | Path | Callable[..., Any]] = field(default_factory=dict)
    registrars: tuple[Registrar, ...] = ()
    plugins: tuple[Registrar, ...] = ()
    files: tuple[Path, ...] = ()
