"""The documents that people write: plans, roadmap, summaries; read whatever their state, written byte by byte."""

from __future__ import annotations

from harness_nb.plans.graph import PlanGraph, build_graph
from harness_nb.plans.paths import conflicts
from harness_nb.plans.project import Project, load_project, read_again
from harness_nb.plans.roadmap import Roadmap, write_roadmap
from harness_nb.plans.summary import CheckLine, summary_target, write_summary

__all__ = [
    "CheckLine",
    "PlanGraph",
    "Project",
    "Roadmap",
    "build_graph",
    "conflicts",
    "load_project",
    "read_again",
    "summary_target",
    "write_roadmap",
    "write_summary",
]
