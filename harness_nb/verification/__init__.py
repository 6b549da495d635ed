"""Verification: a registry of checks, the engine that runs them, and what judges a plan."""

from __future__ import annotations

from harness_nb.verification.engine import VerificationEngine
from harness_nb.verification.judge import judge_manifest
from harness_nb.verification.registry import CheckContext, Outcome, check

__all__ = ["CheckContext", "Outcome", "VerificationEngine", "check", "judge_manifest"]
