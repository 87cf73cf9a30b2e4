"""Of the unit tests alone, as hypothesis need not be there for the gate's runs, which load tests/conftest.py."""

from hypothesis import HealthCheck, settings

# A busy machine is no fault: neither an example nor drawing it has a time to keep.
settings.register_profile("any-speed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any-speed")
