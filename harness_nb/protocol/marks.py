"""A sign for every state of a plan, a session, a message and a check, since colour alone tells nothing to many."""

from __future__ import annotations

from typing import NamedTuple

SIGNS = {
    "complete": "✓",
    "running": "●",
    "verifying": "●",
    "waiting": "○",
    "held": "○",
    "failed": "✕",
    "aborted": "✕",
    "initializing": "○",
    "checkpoint": "?",
    "completed": "✓",
    "passed": "✓",
    "skipped": "○",
    "unverified": "○",
    "pending": "?",
    "responded": "✓",
    "expired": "○",
}

TONES = {"✓": "good", "●": "busy", "?": "asks", "✕": "bad", "○": "calm"}
"""What a sign means for the style: the name of a class in ``report.css``."""


class Mark(NamedTuple):
    """A state as templates show it: a sign, a word, and the tone of both."""

    sign: str
    word: str
    tone: str

    def __str__(self) -> str:
        return f"{self.sign} {self.word}".strip()


def mark_of(state: str, word: str | None = None) -> Mark:
    """Return the mark of a state, with other words if they are given; of an unknown state, the word alone."""
    sign = SIGNS.get(state, "")
    return Mark(sign, state if word is None else word, TONES.get(sign, "calm"))
