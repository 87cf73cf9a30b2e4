"""What the plugin costs a run of pytest that does not use it, and what collecting many cells costs.

`extra_info` has the cost in ms: the median of differences between runs right after each other.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Beside, Directory

pytestmark = pytest.mark.slow

PROTOCOL = "prunecal: 1\nextends: quick\nratios: [{ratios}]\npruners: [weight, filter, channel]\n"


@pytest.mark.benchmark(group="a run that does not use the plugin")
def test_loading(beside: Beside, directory: Directory) -> None:
    (directory.path / "test_own.py").write_text("def test_own(): pass\n")
    (directory.path / "conftest.py").unlink()

    def run(*plugins: str) -> partial[str]:
        return partial(directory.pytest, "-q", "test_own.py", plugins=plugins)

    beside(run("pytest_prunecal.plugin"), run(), rounds=40)


@pytest.mark.benchmark(group="collecting 1,000 cells instead of 10")
def test_collecting(beside: Beside, directory: Directory) -> None:
    runs: list[partial[str]] = []
    for cells in (1000, 10):
        ratios = [0, *((number + 1) / 1000 for number in range((cells - 1) // 3))]
        (directory.path / f"cells{cells}.yaml").write_text(
            PROTOCOL.format(ratios=", ".join(map(str, ratios)))
        )
        (directory.path / "baselines" / f"cells{cells}").mkdir()
        args = ("--prunecal-models=vgg19", f"--prunecal-protocol=cells{cells}.yaml", "--collect-only", "-q")
        assert f"{cells} tests collected" in directory.pytest(*args)
        runs.append(partial(directory.pytest, *args))
    many, few = runs
    beside(many, few, rounds=12)
