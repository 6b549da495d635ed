"""How the machines of these tests make up their stories: whatever happens, in whatever order."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

STORIES = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
"""The same forty each time, however long one takes."""
