"""The notebook's door: how sessions, runs, questions and a whole project show themselves in Jupyter."""

from pathlib import Path

from harness_nb.notebook.busy import telling
from harness_nb.notebook.displays import html_of, show, text_of

NBVAL_SANITIZE = Path(__file__).with_name("nbval-sanitize.cfg")
"""For ``pytest --nbval --nbval-sanitize-with``: what differs each time in the outputs of this package."""

__all__ = ["NBVAL_SANITIZE", "html_of", "show", "telling", "text_of"]
