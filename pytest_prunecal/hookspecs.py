"""Hooks that a conftest.py may implement to bring in its own: models, pruners, data, metrics, candidates.

Every hook but the last returns a mapping from name to what it adds; a text `package.module:attribute` is
imported only when a cell is measured, which keeps torch out of processes that measure nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from torch import nn

    from pytest_prunecal import Dataset, Metric, Pruner


@pytest.hookspec
def pytest_prunecal_models(config: pytest.Config) -> Mapping[str, str | Callable[..., nn.Module]]:
    """Add models.

    Returns:
        Name to a builder of an untrained network. A builder is called with those of the keyword arguments
        `num_classes` and `width` that it names, and with `num_classes` if it takes `**kwargs`; its network
        maps float32 (N, 3, H, W) to logits (N, num_classes). Which channels filter and channel pruning take
        out together it may say with `channel_groups()`, see `pytest_prunecal.ChannelGroup`; else
        Torch-Pruning finds them.
    """
    raise NotImplementedError


@pytest.hookspec
def pytest_prunecal_pruners(config: pytest.Config) -> Mapping[str, str | Pruner]:
    """Add pruners: name (a Python identifier) to a `pytest_prunecal.Pruner`."""
    raise NotImplementedError


@pytest.hookspec
def pytest_prunecal_datasets(config: pytest.Config) -> Mapping[str, str | Callable[..., Dataset]]:
    """Add data sets: name to a loader `(root, **options) -> pytest_prunecal.Dataset`."""
    raise NotImplementedError


@pytest.hookspec
def pytest_prunecal_metrics(config: pytest.Config) -> Mapping[str, Metric]:
    """Add metrics: name to a `pytest_prunecal.Metric` with a `function`, which says what it measures."""
    raise NotImplementedError


@pytest.hookspec
def pytest_prunecal_candidates(config: pytest.Config) -> Mapping[str, str | Path | Callable[..., nn.Module]]:
    """Add candidates: finished networks that are measured as they are, beside the cells of their models.

    Returns:
        `MODEL:NAME` to a file (a path, relative ones below the root directory; see `--prunecal-candidate`),
        or to a builder, itself or as `package.module:callable`, that is called as a model's is and returns
        the finished network in evaluation mode.
    """
    raise NotImplementedError


@pytest.hookspec
def pytest_prunecal_files(config: pytest.Config) -> Iterable[str | Path]:
    """Declare files that models, pruners or metrics read, such as a table of channels beside a model.

    Stored measurements and base networks are reused as long as nothing changes that they depend on. Python
    modules are followed by themselves, data files are not: an edit of a declared one measures again.

    Returns:
        Paths of files, or of folders with all that is in them; relative ones lie below the root directory.
    """
    raise NotImplementedError
