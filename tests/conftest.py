"""Hypothesis for the whole suite: seeded, no clock, no files left behind."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "mexcfast", derandomize=True, deadline=None, database=None, max_examples=100,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large,
                           HealthCheck.filter_too_much])
settings.load_profile("mexcfast")
