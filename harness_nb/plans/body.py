"""Reading a plan's text: tasks, checkpoints and the blocks that may be run.

It looks like XML and is not: more than half of all real tasks hold a bare ``<`` or ``&``, and code fences in
real plans are often unbalanced. So only a ``<task`` at the start of a line begins a task, whatever fence or
comment surrounds it, entities are left as they are, and a missing end tag costs that element alone. Running
is the one thing that is strict: a ``<run>`` block counts when it is complete and its language is known.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass, field
from typing import Any

from harness_nb.plans.paths import listed_paths
from harness_nb.protocol.plans import DecisionOption, RunBlock, Task
from harness_nb.protocol.written import split_outside_parentheses

_TASK = re.compile(r"(?:^|(?<=</task>))[ \t]*<task\b([^>\n]*)>", re.MULTILINE)
_TASK_END = re.compile(r"^[ \t]*</tasks?>|(?<=>)[ \t]*</task>(?=[ \t]*(?:\r?$|<task\b))", re.MULTILINE)
_ATTRIBUTE = re.compile(r"""([A-Za-z_][\w:.-]*)\s*=\s*(?:"([^"]*)"|'([^']*)')""")
_ELEMENTS = (
    "name|title|files|read_first|behavior|implementation|action|verify|automated|acceptance_criteria|done|"
    "what-built|how-to-verify|decision|context|options|instructions|resume-signal|service|env-vars|reason"
)
_OPEN = re.compile(rf"(?:^[ \t]*|>[ \t]*)<({_ELEMENTS})(?=[\s>])[^>\n]*>", re.MULTILINE)
_NEXT = re.compile(rf"^[ \t]*</?(?:{_ELEMENTS})>", re.MULTILINE)
_RUN = re.compile(r"^[ \t]*<run(?=[\s/>])([^>\n]*)>")
_RUN_INSIDE = re.compile(r"^[ \t]*<run(?=[\s>])[^>\n]*>", re.MULTILINE)
_RUN_WITHIN_LINE = re.compile(r"(?<=>)[ \t]*<run(?=[\s>])")
_NOTHING_TO_RUN = "This <run> {}, so its task has nothing to run; {}"
_RUN_END = re.compile(r"</run>[ \t]*\r?$", re.MULTILINE)
_FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,})([^`\r\n]*)\r?$")
_AUTOMATED = re.compile(r"(?P<quote>`?)<automated(?=[\s>])[^>\n]*>")
_AUTOMATED_END = "</automated>"
_AUTOMATED_INSIDE = re.compile(r"(?:^[ \t]*|>[ \t]*)<automated(?=[\s>])[^>\n]*>", re.MULTILINE)
_AUTOMATED_AMISS = re.compile(r"(?:^[ \t]*|>[ \t]*)<((?!automated[\s>])(?i:automated))(?=[\s/>])", re.MULTILINE)
_OPTION = re.compile(r"<option\b([^>\n]*)>(.*?)(?=</option>|<option\b|\Z)", re.DOTALL)
_OBJECTIVE = re.compile(r"^[ \t]*<objective>(.*?)(?:</objective>|^[ \t]*<[a-z_]+>)", re.DOTALL | re.MULTILINE)
_RECOMMENDED = re.compile(r"\(\s*recommended\s*\)", re.IGNORECASE)
_LANGUAGES = ("sh", "python")
_UNCLOSED_COMMAND = "automated, never closed"
_UNANSWERABLE = {
    "decision": "This decision offers no <option>, so nobody can answer it; write its <options>",
    "credentials": "This checkpoint names no <service>, so nobody can tell which credentials it needs; write <service>",
}


@dataclass
class Body:
    """What a plan's text holds; ``problems`` are pairs of a line in the file and a sentence."""

    objective: str = ""
    heading: str = ""
    tasks: list[Task] = field(default_factory=list)
    problems: list[tuple[int, str]] = field(default_factory=list)


@dataclass(frozen=True)
class _Span:
    attributes: dict[str, str]
    text: str
    line: int
    closed: bool


@dataclass(frozen=True)
class _Part:
    """The content of one element, and where in the task's text it starts."""

    text: str
    start: int


@dataclass
class _Rest:
    """A task's text without its run blocks, and for each line of it the line of the file."""

    text: str = ""
    lines: list[int] = field(default_factory=list)

    def add(self, text: str, line: int) -> None:
        self.text += text
        self.lines += range(line, line + text.count("\n") + (not text.endswith("\n")))

    def line_at(self, position: int) -> int:
        return self.lines[self.text.count("\n", 0, position)]


def read_body(text: str, first_line: int = 1) -> Body:
    """Return the tasks of a plan's text; ``first_line`` is the line of the file on which the text starts."""
    objective = _OBJECTIVE.search(text)
    heading = re.search(r"^# +(.+?)[ \t]*\r?$", text, re.MULTILINE)
    body = Body(clean(objective[1]) if objective else "", heading[1] if heading else "")
    for number, span in enumerate(_task_spans(text, first_line), 1):
        task = _read_task(span, number, body.problems)
        body.tasks.append(task)
        if not task.runs and _RUN_WITHIN_LINE.search(span.text):
            sentence = _NOTHING_TO_RUN.format("does not begin its line", "give the tag a line of its own")
            body.problems.append((span.line, sentence))
        if not task.is_answerable:
            body.problems.append((span.line, _UNANSWERABLE[str(task.checkpoint)]))
        if not span.closed:
            body.problems.append((span.line, "This <task> is never closed; end it with a line that is only </task>"))
    return body


def clean(text: str) -> str:
    """Return an element's content without the indentation and blank lines around it."""
    first, newline, rest = text.replace("\r\n", "\n").partition("\n")
    if not first.strip():
        return textwrap.dedent(rest).strip("\n").rstrip()
    return (first.strip() + newline + textwrap.dedent(rest)).rstrip()


def _task_spans(text: str, first_line: int) -> list[_Span]:
    spans = []
    starts = list(_TASK.finditer(text))
    for number, start in enumerate(starts):
        limit = starts[number + 1].start() if number + 1 < len(starts) else len(text)
        end = _TASK_END.search(text, start.end(), limit)
        inner = text[start.end() : end.start() if end else limit]
        line = first_line + text.count("\n", 0, start.start())
        closed = end is not None and end[0].strip() == "</task>"
        spans.append(_Span(_attributes(start[1]), inner, line, closed))
    return spans


def _attributes(text: str) -> dict[str, str]:
    return {match[1]: match[2] if match[2] is not None else match[3] for match in _ATTRIBUTE.finditer(text)}


def _read_task(span: _Span, number: int, problems: list[tuple[int, str]]) -> Task:
    runs, rest = _take_runs(span, problems)
    found = _elements(rest.text)
    commands, unclosed = _automated(found, rest, problems)
    values: dict[str, Any] = {
        "name": _first(found, "name") or _first(found, "title") or span.attributes.get("title") or f"Task {number}",
        "type": span.attributes.get("type", "auto"),
        "files": listed_paths(_all(found, "files")),
        "verify": clean(_all(found, "verify")),
        "automated": commands,
        "unclosed_automated": unclosed,
        "how_to_verify": [line.rstrip() for line in _first(found, "how-to-verify").split("\n") if line.strip()],
        "options": _options(_all(found, "options")),
        "env_vars": split_outside_parentheses(_first(found, "env-vars").replace("\n", ",")),
    }
    for element in ("action", "done", "what-built", "decision", "context", "instructions", "resume-signal"):
        values[element.replace("-", "_")] = _first(found, element)
    values |= {"service": _first(found, "service"), "reason": _first(found, "reason")}
    return Task(**values, runs=runs, line=span.line, attributes=span.attributes)


def _first(found: dict[str, list[_Part]], element: str) -> str:
    return clean(found[element][0].text) if element in found else ""


def _all(found: dict[str, list[_Part]], element: str) -> str:
    return "\n".join(part.text for part in found.get(element, []))


def _elements(text: str) -> dict[str, list[_Part]]:
    """Return the contents of the elements at the top of a task; what lies inside one is not looked at."""
    found: dict[str, list[_Part]] = {}
    position = 0
    while match := _OPEN.search(text, max(0, position - 1)):
        content_start = match.end()
        content_end, position, closed = _close(text, match[1], content_start)
        # Half a command is no command; half a sentence is still worth reading.
        key = match[1] if closed or match[1] != "automated" else _UNCLOSED_COMMAND
        found.setdefault(key, []).append(_Part(text[content_start:content_end], content_start))
    return found


def _close(text: str, element: str, start: int) -> tuple[int, int, bool]:
    """Return where an element's content ends, where to go on, and whether that is its own end tag."""
    end = re.compile(rf"</{element}>(?=[ \t]*(?:\r?$|<))", re.MULTILINE).search(text, start)
    end = end or re.compile(rf"</{element}>").search(text, start)
    if end:
        return end.start(), end.end(), True
    following = _NEXT.search(text, start)
    if following is None:
        return len(text), len(text), False
    is_end_tag = following[0].lstrip().startswith("</")
    return following.start(), following.end() if is_end_tag else max(start + 1, following.start()), False


def _automated(
    found: dict[str, list[_Part]], rest: _Rest, problems: list[tuple[int, str]]
) -> tuple[list[str], list[int]]:
    """Return a task's commands, and the lines on which one begins that is never closed."""
    commands: list[_Part] = []
    unclosed = [part.start for part in found.get(_UNCLOSED_COMMAND, [])]
    for part in found.get("verify", []):
        _commands_within(part, commands, unclosed)
    for part in found.get("automated", []):  # beside <verify> they mean the same
        if _AUTOMATED_INSIDE.search(part.text):
            unclosed.append(part.start)
        else:
            commands.append(part)
    lines = sorted(rest.line_at(position) for position in unclosed)
    problems += [
        (line, "This <automated> is never closed, so it cannot pass; end it with </automated>") for line in lines
    ]
    for part in commands:
        if not part.text.strip():
            problems.append((rest.line_at(part.start), "This <automated> is empty, so it checks nothing"))
    for match in _AUTOMATED_AMISS.finditer(rest.text):
        message = f"<{match[1]}> is not read; write <automated>, its command and </automated>"
        problems.append((rest.line_at(match.start(1)), message))
    return [clean(part.text) for part in commands if part.text.strip()], lines


def _commands_within(verify: _Part, commands: list[_Part], unclosed: list[int]) -> None:
    position = 0
    while opening := _AUTOMATED.search(verify.text, position):
        position = start = opening.end()
        end = verify.text.find(_AUTOMATED_END, start)
        following = _AUTOMATED_INSIDE.search(verify.text, start)
        if end >= 0 and (following is None or following.start() > end):
            commands.append(_Part(verify.text[start:end], verify.start + start))
            position = end
        elif not opening["quote"]:  # a `<automated>` in a sentence is no command
            unclosed.append(verify.start + start)


def _options(text: str) -> list[DecisionOption]:
    options = []
    for number, match in enumerate(_OPTION.finditer(text), 1):
        attributes, content = _attributes(match[1]), match[2]
        parts = {
            part: clean(inner[1]) if (inner := re.search(rf"<{part}>(.*?)</{part}>", content, re.DOTALL)) else ""
            for part in ("name", "description", "pros", "cons")
        }
        identity = attributes.get("id") or f"option-{number}"
        name = parts["name"] or attributes.get("name") or clean(re.sub(r"<[^>]*>", " ", content)) or identity
        recommended = attributes.get("recommended", "").lower() in ("true", "yes", "1")
        options.append(
            DecisionOption(
                id=identity,
                name=name,
                description=parts["description"] or None,
                pros=parts["pros"],
                cons=parts["cons"],
                recommended=recommended or bool(_RECOMMENDED.search(name)),
            )
        )
    return options


def _take_runs(span: _Span, problems: list[tuple[int, str]]) -> tuple[list[RunBlock], _Rest]:
    """Return a task's run blocks, and its text with them taken out.

    One that is not complete leaves the task without any: half of what was meant to run is not run.
    """
    blocks: list[RunBlock] = []
    rest = _Rest()
    sound = True
    position = 0
    while position < len(span.text):
        end = _line_end(span.text, position)
        line = span.text[position:end]
        number = span.line + span.text.count("\n", 0, position)
        opening = _RUN.match(line)
        if fence := _FENCE.match(line.rstrip("\n")):
            end = _fence_end(span.text, end, fence[1]) or end
        elif opening:
            block, end = _read_run(span.text, position, opening, number, problems)
            sound = sound and block is not None
            blocks += [block] if block else []
            position = end
            continue
        rest.add(span.text[position:end], number)
        position = end
    return (blocks if sound else []), rest


def _line_end(text: str, position: int) -> int:
    newline = text.find("\n", position)
    return len(text) if newline < 0 else newline + 1


def _fence_end(text: str, start: int, mark: str) -> int | None:
    """Return where a fence that is properly closed ends; a stray one hides nothing."""
    closing = re.compile(rf"^[ \t]*{re.escape(mark[0])}{{{len(mark)},}}[ \t]*\r?$", re.MULTILINE)
    match = closing.search(text, start)
    return _line_end(text, match.end()) if match else None


def _read_run(
    text: str, position: int, opening: re.Match[str], line: int, problems: list[tuple[int, str]]
) -> tuple[RunBlock | None, int]:
    """Return the block that starts here, or ``None`` with a problem noted, and where to go on."""
    start = position + opening.end()
    end = None if opening[1].rstrip().endswith("/") else _RUN_END.search(text, start)
    if end is None or _RUN_INSIDE.search(text, start, end.start()):
        problems.append((line, _NOTHING_TO_RUN.format("is never closed", "end it with </run>")))
        return None, _line_end(text, position)
    after = _line_end(text, end.end())
    code = text[start : end.start()]
    lang = _attributes(opening[1]).get("lang", "")
    if lang not in _LANGUAGES:
        what = f"names the language {lang!r}" if lang else "names no language"
        problems.append((line, _NOTHING_TO_RUN.format(what, 'write lang="sh" or lang="python"')))
        return None, after
    if not code.strip():
        problems.append((line, _NOTHING_TO_RUN.format("is empty", "write the code between its tags")))
        return None, after
    first_code_line = line + (1 if code.lstrip(" \t\r").startswith("\n") else 0)
    return RunBlock(lang="sh" if lang == "sh" else "python", code=_dedented(code), line=first_code_line), after


def _dedented(code: str) -> str:
    lines = code.replace("\r\n", "\n")
    first, newline, rest = lines.partition("\n")
    if first.strip():
        return (first.strip() + newline + textwrap.dedent(rest)).rstrip() + "\n"
    return textwrap.dedent(rest).rstrip() + "\n"
