"""What judges a plan: its own checks, its tasks' automated commands, and what its must-haves come to.

Only what can be looked at without a person becomes a check. Truths are sentences, and exports are not: a file
that hands on all of another's names exports them without naming one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from harness_nb.protocol.checks import CheckSpec, CommandSucceeds, FileContains, FileExists
from harness_nb.protocol.manifest import Manifest, UnusableCheck, parse_manifest
from harness_nb.protocol.plans import UNREADABLE_CHECK
from harness_nb.verification.patterns import is_regex

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness_nb.protocol.plans import Artifact, KeyLink, Plan, Task

_FENCE = re.compile(r"\A```[\w-]*\n(.*?)\n?```\s*\Z", re.DOTALL)
_PATH = re.compile(r"/?[\w@+~.$\[\]()-]+(?:/[\w@+~.$\[\] ()-]+)*/?")
_MANIFEST_KEYS = ("must_pass", "should_pass", "api_base_url", "ui_base_url", "timeout")


def judge_manifest(plan: Plan) -> Manifest:
    """Return what judges a plan; without any required check in it, only a person can.

    Its ``must_pass`` come first, then ``task-N-automated-M`` for the commands of its tasks, ``artifact-N…`` and
    ``link-N`` for its must-haves. Where one of the plan's own checks has such an id, the other gets a suffix.
    """
    written = {key: getattr(plan.frontmatter, key) for key in _MANIFEST_KEYS}
    manifest = parse_manifest(written, lambda section, index: _where(plan, section, index))
    taken = {spec.id for spec, _ in manifest.checks}
    derived = [*_automated(plan), *_artifacts(plan), *_links(plan)]
    return manifest.with_must_pass(*(_with_free_id(spec, taken) for spec in derived))


def _where(plan: Plan, section: str, index: int) -> str | None:
    line = plan.lines.get(f"{section}.{index}", plan.lines.get(section))
    written = getattr(plan, section) if section in ("must_pass", "should_pass") else []
    if index < len(written) and written[index].get("type") == UNREADABLE_CHECK:
        line = written[index].get("line", line)
    return f"{plan.path}:{line}" if plan.path and line else plan.path


def _with_free_id(spec: CheckSpec, taken: set[str]) -> CheckSpec:
    name, number = spec.id, 2
    while name in taken:
        name, number = f"{spec.id}-{number}", number + 1
    taken.add(name)
    return spec if name == spec.id else spec.model_copy(update={"id": name})


def as_script(automated: str) -> str:
    """Return an ``<automated>`` block as one shell script: of several lines, each must succeed."""
    text = automated.strip("\n").strip()
    fenced = _FENCE.match(text)
    text = fenced[1].strip() if fenced else text
    return f"set -e\n{text}" if "\n" in text else text


def _automated(plan: Plan) -> Iterator[CheckSpec]:
    for number, task in enumerate(plan.tasks, 1):
        for index, text in enumerate(task.automated, 1):
            script = as_script(text)
            if script:
                yield CommandSucceeds(
                    id=f"task-{number}-automated-{index}", command=script, description=task.name or None
                )
        for index, line in enumerate(task.unclosed_automated, len(task.automated) + 1):
            yield _unclosed(plan, task, f"task-{number}-automated-{index}", line)


def _unclosed(plan: Plan, task: Task, name: str, line: int) -> UnusableCheck:
    at = f" ({plan.path}:{line})" if plan.path else f" (line {line})"
    return UnusableCheck(
        id=name,
        type=UNREADABLE_CHECK,
        description=task.name or None,
        raw={"id": name, "type": UNREADABLE_CHECK, "line": line},
        problem=f"Could not run: the <automated> of task {task.name!r}{at} is never closed. End it with </automated>.",
    )


def _artifacts(plan: Plan) -> Iterator[CheckSpec]:
    for number, artifact in enumerate(plan.must_haves.artifacts, 1):
        path = str(artifact.path).strip()
        if looks_like_path(path):
            yield from _artifact_checks(f"artifact-{number}", path, artifact)


def _artifact_checks(name: str, path: str, artifact: Artifact) -> Iterator[CheckSpec]:
    yield FileExists(id=name, path=path, description=artifact.provides)
    for index, text in enumerate(filter(None, artifact.contains), 1):
        # Authors write "a.*b" for "a, and later b"; as a regular expression it also matches itself.
        regex = ".*" in text and is_regex(text)
        yield FileContains(id=f"{name}-contains-{index}", path=path, pattern=text, regex=regex)
    if artifact.min_lines and artifact.min_lines > 0:
        yield FileContains(
            id=f"{name}-lines",
            path=path,
            pattern=rf"\A(?:[^\n]*\n){{{artifact.min_lines - 1}}}[\s\S]",
            regex=True,
            description=f"{path} has at least {artifact.min_lines} lines",
        )


def _links(plan: Plan) -> Iterator[CheckSpec]:
    for number, link in enumerate(plan.must_haves.key_links, 1):
        path = str(link.source).strip()
        if link.pattern and looks_like_path(path):
            yield FileContains(
                id=f"link-{number}",
                path=path,
                pattern=link.pattern,
                regex=is_regex(link.pattern),
                description=_link_text(link),
            )


def _link_text(link: KeyLink) -> str:
    via = f" via {link.via}" if link.via else ""
    return f"{link.source} leads to {link.to}{via}"


def looks_like_path(text: str) -> bool:
    """Say whether a text names one file or folder, and is not prose, a glob or a function's name.

    A word without a slash needs an extension. Brackets and parentheses are parts of real file names in a folder
    (``app/(site)/[id].tsx``), but a call's ``()`` and a note after the name are not.
    """
    if not _PATH.fullmatch(text) or "()" in text or re.search(r"\s\(|\)\s", text):
        return False
    last = text.rstrip("/").rpartition("/")[2]
    if re.search(r"\.\w+\s", last):  # "server.go Start" names a place inside the file
        return False
    return "/" in text or bool(
        re.fullmatch(r"\.?[\w@+-]+(?:\.[\w-]+)*\.\w+|\.\w+|[A-Z][A-Za-z]*file|[A-Z][A-Z_-]+", text)
    )
