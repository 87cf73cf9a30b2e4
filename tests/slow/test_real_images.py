"""The gate on real images: CIFAR-10 and a pretrained ResNet-20, against committed baselines."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

HERE = Path(__file__).parent
DATA = os.environ.get("PRUNECAL_DATA")
CHECKPOINT = os.environ.get("PRUNECAL_CHECKPOINT")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA, reason="PRUNECAL_DATA does not name a folder with CIFAR-10 as plain arrays"),
    pytest.mark.skipif(
        not CHECKPOINT, reason="PRUNECAL_CHECKPOINT does not name a pretrained resnet20.safetensors"
    ),
]


def test_all_pruners_on_a_pretrained_resnet20(pytester):
    shutil.copytree(HERE / "baselines", pytester.path / "baselines")
    result = pytester.runpytest_subprocess(
        "--prunecal-models=resnet20",
        f"--prunecal-protocol={HERE / 'cifar-resnet20.yaml'}",
        f"--prunecal-checkpoint=resnet20={CHECKPOINT}",
        f"--prunecal-data={DATA}",
        "-n2",
    )
    result.assert_outcomes(passed=10)
    # The checkpoint is the very one that the baselines were measured from.
    assert "base" not in result.stdout.str().partition("measured elsewhere")[2].partition("\n")[0]
