"""Gate compressed networks on calibration and robustness; these are the names for a conftest.py.

Each is imported when it is first asked for, so that naming `Metric` does not load torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_prunecal.errors import PrunecalError
    from pytest_prunecal.lab.datasets.base import Dataset
    from pytest_prunecal.lab.models.groups import ChannelGroup
    from pytest_prunecal.lab.pruners.base import Pruned
    from pytest_prunecal.study.measurement import Measurement
    from pytest_prunecal.study.metric import Metric
    from pytest_prunecal.study.pruner import Pruner

__version__ = "0.1.0"

__all__ = [
    "ChannelGroup",
    "Dataset",
    "Measurement",
    "Metric",
    "PrunecalError",
    "Pruned",
    "Pruner",
    "__version__",
]

_HOMES = {
    "ChannelGroup": "lab.models.groups",
    "Dataset": "lab.datasets.base",
    "Measurement": "study.measurement",
    "Metric": "study.metric",
    "PrunecalError": "errors",
    "Pruned": "lab.pruners.base",
    "Pruner": "study.pruner",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
