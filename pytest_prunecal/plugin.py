"""pytest's hooks. Every pytest run in the environment imports this module, so it imports next to nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_prunecal.gate import options, stash
from pytest_prunecal.gate.named import named_baselines

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from pytest_prunecal.gate.fixture import Prunecal
    from pytest_prunecal.gate.settings import Settings


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register the options."""
    options.add(parser)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Register the hooks that a conftest.py may implement, before any is imported."""
    from pytest_prunecal import hookspecs

    pluginmanager.add_hookspecs(hookspecs)
    pluginmanager.register(stash.Began(), stash.BEGAN)


@pytest.hookimpl(trylast=True)  # after every conftest.py has said what it adds
def pytest_configure(config: pytest.Config) -> None:
    """Set the session up if it uses the plugin at all."""
    asked = options.asked(config)
    named = named_baselines(config, asked)
    if named or asked:
        from pytest_prunecal.gate import session

        session.configure(config, asked, named)


def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Say what the gate would see instead of running anything, where that is asked for."""
    asked = options.asked(config)
    if "plan" not in asked or config.option.help or config.option.version:
        return None
    from pytest_prunecal.gate import plan

    return plan.main(config, asked, named_baselines(config, asked))


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Name what is left out of the grid, and what an update may remove, before anything is measured."""
    settings = _settings(config)
    if settings is None:
        return []
    left_out = dict.fromkeys(why for file in settings.files for why in file.left_out)
    said = [f"prunecal: left out: {why}" for why in left_out]
    if settings.options.update != "all" or settings.narrowed:
        return said
    return said + [
        f"prunecal: {file.name}: an update of the whole grid removes {', '.join(file.orphans)}, "
        "which nothing registered or configured can make"
        for file in settings.files
        if file.orphans
    ]


def pytest_collect_directory(path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect the gate where its protocol's folder is."""
    settings = _settings(parent.config)
    if settings is None or not settings.files or path != settings.folder:
        return None
    from pytest_prunecal.gate.collection import ProtocolFolder

    return ProtocolFolder.from_parent(parent, path=path)


@pytest.hookimpl(tryfirst=True)  # whoever else orders tests has the last word
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Order the cells of several models for several workers."""
    settings = _settings(config)
    if settings is not None and len(settings.files) > 1 and stash.worker_of(config) is not None:
        from pytest_prunecal.gate.collection import interleave

        interleave(items)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Send a cell's measurement with its report."""
    report = yield
    if _settings(item.config) is not None:
        from pytest_prunecal.gate.stream import send

        send(item, report)
    return report


@pytest.fixture(scope="session")
def prunecal(request: pytest.FixtureRequest) -> Prunecal:
    """Measure cells in a test of your own: `prunecal.measure("vgg19", "weight", 0.5)["ece"]`."""
    from pytest_prunecal.gate.fixture import Prunecal
    from pytest_prunecal.gate.session import settings_of

    return Prunecal(request.config, settings_of(request.config))


def _settings(config: pytest.Config) -> Settings | None:
    return config.stash.get(stash.SETTINGS, None)
