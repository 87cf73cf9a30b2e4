"""Loaded by every run of this repository's pytest, the gate's too, so it imports no torch."""

pytest_plugins = ["pytester"]
