"""The built-in pruners, by name. Importing this package does not import torch."""

PRUNERS: dict[str, str] = {
    "weight": "pytest_prunecal.lab.pruners.weight:weight",
    "filter": "pytest_prunecal.lab.pruners.filter:filter",
    "channel": "pytest_prunecal.lab.pruners.channel:channel",
}
"""Pruner name -> `module:attribute`; the attribute is a `pytest_prunecal.lab.pruners.base.Pruner`."""
