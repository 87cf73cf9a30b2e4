"""Of the unit tests alone: the gate's runs load tests/conftest.py and need no hypothesis."""

from hypothesis import HealthCheck, settings

# A busy machine is no fault: neither an example nor drawing it has a time to keep.
settings.register_profile("any-speed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any-speed")
