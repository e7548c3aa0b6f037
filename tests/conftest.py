"""Settings of the property tests: no time limit per example, the same examples on every machine."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "rhnas", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("rhnas")
