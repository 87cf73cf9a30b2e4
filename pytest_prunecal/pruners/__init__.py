"""The built-in pruners, by name. Importing this package does not import torch."""

PRUNERS: dict[str, str] = {
    "weight": "pytest_prunecal.pruners.weight:weight",
    "filter": "pytest_prunecal.pruners.filter:filter",
    "channel": "pytest_prunecal.pruners.channel:channel",
}
"""Pruner name -> `module:attribute`; the attribute is a `pytest_prunecal.pruners.base.Pruner`."""
