"""What of a plan is executed, as text, what was trusted of it, and how the one differs from the other.

A yes is a yes to commands. What a person read is remembered word by word; whatever else stands in a plan may change
without being asked about again.
"""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from harness_nb.protocol.base import WireModel
from harness_nb.templates import render

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from harness_nb.protocol.plans import Plan

LOOK_ONLY: Final = frozenset(
    {
        "file_exists", "file_contains", "file_not_contains", "json_valid", "env_var_set", "port_available",
        "process_running", "visual_quality", "ux_flow", "content_review", "security_review", "unreadable",
    }
)  # fmt: skip
"""Checks that only look, or ask a person; every other one, also one that nobody knows yet, counts as executed."""

_NOT_EXECUTED: Final = frozenset(
    {"id", "type", "description", "critical", "timeout", "retries", "expects", "regex", "stream"}
)
"""What a check says of itself, or compares with what came out."""
_BASES: Final = {"api": "api_base_url", "ui": "ui_base_url"}
_WORD = re.compile(r"\w+")


class PlanCommands(WireModel):
    """What one plan executes, in its order: each text begins with a line that says how, such as ``[run sh]``."""

    plan: str
    path: str | None = None
    commands: tuple[str, ...] = ()

    def within(self, trusted: PlanCommands) -> bool:
        """Say whether nothing here is new: the same commands in the same order, or fewer of them."""
        left = iter(trusted.commands)
        return all(command in left for command in self.commands)


class Trust(WireModel):
    """A person's yes to a project's commands; one from before they were kept does not ``remember`` any."""

    project: str
    plans: tuple[PlanCommands, ...] = ()
    remembers: bool = True

    def covers(self, now: PlanCommands) -> bool:
        """Say whether a plan executes only what was trusted of one plan, whatever that was called."""
        return not now.commands or any(now.within(one) for one in self.plans)

    def before(self, now: PlanCommands) -> PlanCommands | None:
        """Return what was trusted of a plan, by its id or else its file, or None."""
        by_id = (one for one in self.plans if one.plan == now.plan)
        return next(by_id, None) or next((one for one in self.plans if now.path and one.path == now.path), None)


def commands_of(plan: Plan) -> PlanCommands:
    """Return what a plan executes: its run blocks, the commands that verify its tasks, and checks that do something."""
    return PlanCommands(plan=plan.id, path=plan.path, commands=tuple(_commands(plan)))


def _commands(plan: Plan) -> Iterator[str]:
    for task in plan.tasks:
        yield from (f"[run {block.lang}]\n{block.code.rstrip()}" for block in task.runs)
        yield from (f"[verify]\n{text}" for text in task.automated if text.strip())
    for check in (*plan.must_pass, *plan.should_pass):
        if str(check.get("type")) not in LOOK_ONLY:
            yield _check_text(plan, check)


def _check_text(plan: Plan, check: Mapping[str, Any]) -> str:
    """Return a check so that no two which do different things look the same."""
    kind = str(check.get("type"))
    done = {str(key): value for key, value in check.items() if key not in _NOT_EXECUTED}
    base = _BASES.get(kind.partition("_")[0])
    if base is not None and getattr(plan.frontmatter, base):
        done[base] = getattr(plan.frontmatter, base)
    command = done.pop("command", None)
    lines = [f"[check {_word(kind)}]"]
    if isinstance(command, str):
        lines.append("command: " + command.replace("\n", "\n    "))
    elif command is not None:
        lines.append(f"command = {_json(command)}")
    return "\n".join([*lines, *(f"{_word(key)}: {_json(done[key])}" for key in sorted(done))])


def _word(text: str) -> str:
    return text if _WORD.fullmatch(text) else _json(text)


def _json(value: object) -> str:
    try:
        return json.dumps(value, sort_keys=True, default=repr)
    except (TypeError, ValueError):  # keys of several kinds, or a list that holds itself: YAML has both
        return repr(value)


@dataclass(frozen=True)
class PlanDifference:
    """How one plan's commands differ from what was trusted of it: the ``lines`` of a unified diff."""

    plan: str
    path: str | None
    new: bool
    lines: tuple[str, ...]

    @property
    def heading(self) -> str:
        """Which plan it is."""
        where = f" ({_visible(self.path)})" if self.path else ""
        return f"{_visible(self.plan)}{where}{': nothing of it was trusted yet' if self.new else ''}"

    def text(self, most: int | None = None) -> str:
        """Return heading and lines, and no more than ``most`` of them."""
        shown = self.lines if most is None else self.lines[:most]
        left = len(self.lines) - len(shown)
        more = [f"… and {left} more {'line' if left == 1 else 'lines'}"] if left else []
        return "\n".join([self.heading, *shown, *more])


def differences(
    trust: Trust | None, plans: Iterable[PlanCommands], redact: Callable[[str], str] = str
) -> tuple[PlanDifference, ...]:
    """Return how plans differ from what was trusted, without those that execute nothing else."""
    return tuple(_difference(trust, one, redact) for one in plans if not _covered(trust, one))


def _covered(trust: Trust | None, now: PlanCommands) -> bool:
    return not now.commands if trust is None else trust.covers(now)


def _difference(trust: Trust | None, now: PlanCommands, redact: Callable[[str], str]) -> PlanDifference:
    before = trust.before(now) if trust is not None else None
    old, new = _lines(before.commands if before else (), redact), _lines(now.commands, redact)
    lines = list(difflib.unified_diff(old, new, lineterm="", n=2))[2:]
    return PlanDifference(now.plan, now.path, before is None, tuple(lines or ["(it differs in what is masked)"]))


def _lines(commands: Sequence[str], redact: Callable[[str], str]) -> list[str]:
    return [_visible(line) for command in commands for line in redact(command).split("\n")]


def _visible(text: str) -> str:
    """Show what a terminal or a browser would hide, or act upon."""
    return "".join(
        sign if sign.isprintable() or sign == "\t" else sign.encode("unicode_escape", "replace").decode()
        for sign in text
    )  # fmt: skip


@dataclass(frozen=True)
class TrustShown:
    """What is trusted of a project's plans, and what changed by that; ``trusted`` is whether it is so now."""

    project: Path
    plans: tuple[PlanCommands, ...]
    differences: tuple[PlanDifference, ...]
    trusted: bool = True

    @property
    def summary(self) -> str:
        """What it comes to, as one sentence."""
        commands = sum(len(one.commands) for one in self.plans)
        held = f"{_count(len(self.plans), 'plan')}, {_count(commands, 'command')}"
        changed = len(self.differences)
        what = f"{_count(changed, 'plan')} with new or changed commands" if changed else "nothing new since then"
        return f"{'Trusted' if self.trusted else 'To be trusted'}: {self.project} ({held}; {what})."

    def __repr__(self) -> str:
        return f"<{self.summary}>"

    def __str__(self) -> str:
        return "\n\n".join([self.summary, *(one.text() for one in self.differences)])

    def _repr_html_(self) -> str:
        return render("trust.html", summary=self.summary, differences=self.differences)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: FBT001 — IPython's way of calling
        from harness_nb.protocol.shown import print_whole

        print_whole(self, printer, cycle)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
