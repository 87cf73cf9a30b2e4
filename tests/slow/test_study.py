"""The study's own command, at full width and with its own recipe, on few images and for one epoch."""

from __future__ import annotations

import json
import re

import pytest

pytestmark = pytest.mark.slow

PROTOCOL = """\
prunecal: 1
extends: paper
dataset: {name: digits, size: 32, train: 130, test: 40}
ratios: [0, 0.5]
base: {epochs: 1}
finetune: {epochs: 1}
evaluation: {severities: [1, 5]}
"""
PARAMETERS = {"vgg19": 20_035_018, "resnet110": 1_727_962, "preresnet164": 1_703_258}


def test_three_networks_three_pruners_and_the_figures(pytester):
    pytester.makefile(".yaml", study=PROTOCOL)
    result = pytester.runpytest_subprocess(
        f"--prunecal-models={','.join(PARAMETERS)}",
        "--prunecal-protocol=study.yaml",
        "--prunecal-update",
        "--prunecal-report=study.html",
        "--prunecal-json=study.json",
        "-n2",
    )
    result.assert_outcomes(passed=12)
    run = json.loads((pytester.path / "study.json").read_text())
    for model in run["models"]:
        cells = {cell["id"]: cell for cell in model["cells"]}
        assert set(cells) == {"dense", "weight-0.5", "filter-0.5", "channel-0.5"}
        size = {name: cell["metrics"]["parameters"]["measured"] for name, cell in cells.items()}
        assert size["dense"] == size["weight-0.5"] == PARAMETERS[model["model"]]
        assert max(size["filter-0.5"], size["channel-0.5"]) < size["dense"]
        for cell in cells.values():
            assert len(cell["corrupted"]) == 15
            assert all(set(levels) == {"1", "5"} for levels in cell["corrupted"].values())
    page = (pytester.path / "study.html").read_text()
    for title in ("accuracy", "ECE", "mPC", "ECE under corruption"):
        assert len(re.findall(rf"<svg[^>]*>(?:(?!</svg>).)*{title}", page, re.DOTALL)) >= len(PARAMETERS)
