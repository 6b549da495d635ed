"""Running a project's plans: a pure scheduler decides, the run does."""

from harness_nb.orchestrator.asking import ask
from harness_nb.orchestrator.desk import Desk
from harness_nb.orchestrator.policies import ACCEPT_ALL
from harness_nb.orchestrator.run import Runner

__all__ = ["ACCEPT_ALL", "Desk", "Runner", "ask"]
