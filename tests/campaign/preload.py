"""All that a run of the gate may import: the process that children are forked from imports it once."""

from __future__ import annotations

import gc
from importlib import import_module

for _name in (
    *("gate.session", "gate.settings", "gate.collection", "gate.controller", "gate.fixture"),
    *("lab.engines.local", "lab.engines.reusing", "lab.evaluation.bootstrap", "lab.corruptions.generate"),
    *("lab.datasets.digits", "lab.datasets.arrays", "lab.pruners.weight"),
):
    import_module(f"pytest_prunecal.{_name}")
for _name in ("pytest", "xdist.plugin", "xdist.dsession", "xdist.workermanage", "filelock", "jinja2"):
    import_module(_name)
gc.freeze()  # pytest collects garbage at its end: half of a short run's time with torch's objects
