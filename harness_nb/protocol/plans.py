"""Plans, their tasks and the roadmap, as data: what the documents that people write come to.

Nothing here reads a file. ``must_pass`` and ``should_pass`` stay plain dictionaries, since the checks that
exist are known to the room that runs them; a check that could not even be read is kept as one of the type
``unreadable``, which no registry knows, so that it can never count as passed.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from harness_nb.protocol.base import WireModel
from harness_nb.protocol.written import Anything, References, Text, Texts, as_list

UNREADABLE_CHECK = "unreadable"
"""The type of a check that a plan's author wrote in a form nobody can run."""

_CHECKPOINTS = {
    "checkpoint:human-verify": "verification",
    "checkpoint:decision": "decision",
    "checkpoint:human-action": "action",
    "checkpoint:credentials": "credentials",
}
_PERSON_TYPES = {"manual", "human"}

CheckpointKind = Literal["verification", "decision", "action", "credentials"]


class PlanProblem(WireModel):
    """Something in a document that its author should mend, and where it is.

    ``path`` is relative to the project, ``line`` counts from 1, ``kind`` is a word for programs.
    """

    message: str
    path: str | None = None
    line: int | None = None
    plan_id: str | None = None
    kind: str = "document"

    def __str__(self) -> str:
        where = "".join([self.path or "", f":{self.line}" if self.path and self.line else ""])
        return f"{where}: {self.message}" if where else self.message


class CredentialNeed(WireModel):
    """A service whose credentials a plan asks for, by the names of its variables."""

    service: Text
    env_vars: References = Field(default_factory=list)
    reason: Text = ""
    context: Text | None = None


class Artifact(WireModel):
    """A file that must be there when the plan is done, and what it must hold."""

    path: Text
    provides: Text | None = None
    contains: Texts = Field(default_factory=list)
    exports: References = Field(default_factory=list)
    min_lines: int | None = None


class KeyLink(WireModel):
    """A place where one file must lead to another."""

    source: Text = Field(alias="from", default="")
    to: Text = ""
    via: Text | None = None
    pattern: Text | None = None

    @model_validator(mode="before")
    @classmethod
    def _read_python_names(cls, data: Any) -> Any:
        if isinstance(data, dict) and "source" in data and "from" not in data:
            return {**{key: value for key, value in data.items() if key != "source"}, "from": data["source"]}
        return data


class MustHaves(WireModel):
    """What must be true when the plan is done; anything of another shape is kept under ``other``."""

    truths: Texts = Field(default_factory=list)
    artifacts: list[Artifact] = Field(default_factory=list)
    key_links: list[KeyLink] = Field(default_factory=list)
    other: list[Any] = Field(default_factory=list)

    @model_validator(mode="before")
    @classmethod
    def _tolerate(cls, data: Any) -> Any:
        if isinstance(data, MustHaves):
            return data
        if not isinstance(data, dict):
            return {"truths": data}
        read = dict(data)
        other = as_list(read.get("other"))
        links_key = "keyLinks" if "keyLinks" in read else "key_links"
        artifacts = [{"path": item} if isinstance(item, str) else item for item in as_list(read.get("artifacts"))]
        links = as_list(read.get(links_key))
        read["artifacts"] = [item for item in artifacts if _is_artifact(item)]
        read[links_key] = [item for item in links if isinstance(item, dict | KeyLink)]
        other += [item for item in artifacts if not _is_artifact(item)]
        other += [item for item in links if not isinstance(item, dict | KeyLink)]
        return {**read, "other": other}

    def __bool__(self) -> bool:
        return bool(self.truths or self.artifacts or self.key_links or self.other)


def _is_artifact(item: object) -> bool:
    if isinstance(item, Artifact):
        return True
    if not isinstance(item, dict) or not item.get("path"):
        return False
    lines = item.get("min_lines", item.get("minLines"))
    return lines is None or (str(lines).isdigit())


def readable_checks(value: object, key: str) -> list[dict[str, Any]]:
    """Return a manifest's checks as dictionaries; whatever is not one becomes an ``unreadable`` check."""
    items = [value] if isinstance(value, dict) else as_list(value)
    return [
        dict(item) if isinstance(item, dict) else {"id": f"{key}-{number}", "type": UNREADABLE_CHECK, "value": item}
        for number, item in enumerate(items, 1)
    ]


def _must_pass(value: object) -> list[dict[str, Any]]:
    return readable_checks(value, "must_pass")


def _should_pass(value: object) -> list[dict[str, Any]]:
    return readable_checks(value, "should_pass")


class PlanFrontmatter(WireModel):
    """The keys above a plan's text; keys that are not listed here are kept.

    ``phase``, ``plan`` and ``depends_on`` are text as written, since ``010`` is not eight and ``4.10`` is not
    ``4.1``. ``timeout`` is in milliseconds, as on the wire.
    """

    phase: Text | None = None
    plan: Text | None = None
    title: Text | None = None
    type: Text | None = None
    wave: int | None = None
    depends_on: References = Field(default_factory=list)
    files_modified: Texts = Field(default_factory=list)
    files_read: Texts = Field(default_factory=list)
    autonomous: bool | None = None
    checkpoints: Anything = Field(default_factory=list)
    credentials_needed: list[CredentialNeed] = Field(default_factory=list)
    must_haves: MustHaves = Field(default_factory=MustHaves)
    must_pass: Annotated[list[dict[str, Any]], BeforeValidator(_must_pass)] = Field(default_factory=list)
    should_pass: Annotated[list[dict[str, Any]], BeforeValidator(_should_pass)] = Field(default_factory=list)
    api_base_url: Text | None = None
    ui_base_url: Text | None = None
    timeout: int | None = None


class RunBlock(WireModel):
    """Code that a task's author marked as runnable; ``line`` is where it starts in the plan's file."""

    lang: Literal["sh", "python"]
    code: str
    line: int | None = None


class DecisionOption(WireModel):
    """One way a decision can go; without a name it is shown by its id."""

    id: str
    name: str = ""
    description: str | None = None
    pros: str = ""
    cons: str = ""
    recommended: bool = False


class Task(WireModel):
    """One step of a plan: something to do, or a checkpoint where a person is asked.

    ``automated`` holds the commands of ``<verify><automated>``; ``unclosed_automated`` the lines on which one
    begins that never ends, so that it cannot be dropped unseen; ``attributes`` the opening tag's own.
    """

    name: str = ""
    type: str = "auto"
    files: list[str] = Field(default_factory=list)
    action: str = ""
    verify: str = ""
    done: str = ""
    automated: list[str] = Field(default_factory=list)
    unclosed_automated: list[int] = Field(default_factory=list)
    runs: list[RunBlock] = Field(default_factory=list)
    what_built: str = ""
    how_to_verify: list[str] = Field(default_factory=list)
    decision: str = ""
    context: str = ""
    options: list[DecisionOption] = Field(default_factory=list)
    instructions: str = ""
    resume_signal: str = ""
    service: str = ""
    env_vars: list[str] = Field(default_factory=list)
    reason: str = ""
    line: int | None = None
    attributes: dict[str, str] = Field(default_factory=dict)

    @property
    def checkpoint(self) -> CheckpointKind | None:
        """What kind of question this task asks, or ``None`` for a task that is simply done.

        Work that only a person can do (``manual``, ``human``, a checkpoint of no known kind) is an action.
        """
        kind = self.type.strip().lower()
        if kind in _CHECKPOINTS:
            return _CHECKPOINTS[kind]  # type: ignore[return-value]
        return "action" if kind.startswith("checkpoint") or kind in _PERSON_TYPES else None

    @property
    def is_answerable(self) -> bool:
        """Whether what this task asks can be answered: a decision needs an option, credentials a service."""
        needed = {"decision": self.options, "credentials": self.service.strip()}
        return bool(needed.get(self.checkpoint or "", True))


_ID = re.compile(r"^(\d+(?:\.\d+)*[a-z]?)-(.+)$")


def normal_phase(text: str) -> str:
    """Return a phase's number without padding: ``03`` is ``3``, ``04.10`` is ``4.10``, ``05a`` is ``5a``."""
    return ".".join(re.sub(r"^0+(?=\d)", "", part) for part in text.strip().split("."))


class Plan(WireModel):
    """One plan, read from a file or written in Python.

    In Python the frontmatter's keys can be given directly:
    ``Plan(id="01-01", tasks=[Task(name="build", runs=[RunBlock(lang="sh", code="make")])], depends_on=["01-00"])``.
    Such a plan has no ``path``. ``path``, ``summary_path`` and ``spec_dir`` are relative to the project;
    ``phase`` is the phase's number without padding, ``phase_slug`` its folder's name, ``lines`` where each
    frontmatter key stands in the file.
    """

    id: str = Field(min_length=1)
    phase: Text = ""
    phase_slug: str = ""
    number: Text = ""
    slug: str = ""
    title: str = ""
    path: str | None = None
    spec_dir: str = ""
    frontmatter: PlanFrontmatter = Field(default_factory=PlanFrontmatter)
    objective: str = ""
    tasks: list[Task] = Field(default_factory=list)
    summary_path: str | None = None
    problems: list[PlanProblem] = Field(default_factory=list)
    lines: dict[str, int] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _accept_frontmatter_keys(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        own = {key: value for key, value in data.items() if key not in _LIFTED}
        lifted = {key: value for key, value in data.items() if key in _LIFTED}
        if lifted:
            given = own.get("frontmatter") or {}
            base = given.model_dump(by_alias=False) if isinstance(given, PlanFrontmatter) else dict(given)
            own["frontmatter"] = {**base, **lifted}
        return cls._fill_from_id(own)

    @staticmethod
    def _fill_from_id(data: dict[str, Any]) -> dict[str, Any]:
        match = _ID.match(str(data.get("id", "")))
        if match:
            data.setdefault("phase", normal_phase(match[1]))
            data.setdefault("number", match[2])
        data.setdefault("title", str(data.get("id", "")))
        return data

    @property
    def depends_on(self) -> list[str]:
        """What this plan says it waits for, as written."""
        return self.frontmatter.depends_on

    @property
    def writes(self) -> list[str]:
        """The files, folders and globs that this plan changes, as written."""
        return self.frontmatter.files_modified

    @property
    def reads(self) -> list[str]:
        """The files, folders and globs that this plan reads, as written."""
        return self.frontmatter.files_read

    @property
    def must_pass(self) -> list[dict[str, Any]]:
        """The checks that decide whether this plan is done."""
        return self.frontmatter.must_pass

    @property
    def should_pass(self) -> list[dict[str, Any]]:
        """The checks that are run and reported, and decide nothing."""
        return self.frontmatter.should_pass

    @property
    def must_haves(self) -> MustHaves:
        """What must be true, exist and be linked when the plan is done."""
        return self.frontmatter.must_haves

    @property
    def automated(self) -> list[str]:
        """The commands of every task's ``<verify><automated>``, in order."""
        return [command for task in self.tasks for command in task.automated]

    @property
    def tasks_without_run(self) -> list[Task]:
        """The automatic tasks that have nothing to run."""
        return [task for task in self.tasks if task.checkpoint is None and not task.runs]


_PLAN_KEYS = set(Plan.model_fields) | {field.alias for field in Plan.model_fields.values()}
_LIFTED = {
    key for name, field in PlanFrontmatter.model_fields.items() for key in (name, field.alias) if key
} - _PLAN_KEYS


class PhaseInfo(WireModel):
    """A phase: its number, folder, name, the ids of its plans, and the phases that come before it."""

    number: str
    slug: str = ""
    name: str = ""
    plans: list[str] = Field(default_factory=list)
    depends_on: list[str] = Field(default_factory=list)


class Velocity(WireModel):
    """How fast plans were finished; minutes are minutes of execution."""

    total_plans_completed: int | None = None
    total_execution_minutes: float | None = None
    average_minutes_per_plan: float | None = None


def _as_position(value: object) -> object:
    return int(value) if isinstance(value, str) and re.fullmatch(r"0|[1-9]\d*", value) else value


Position = Annotated[int | str, BeforeValidator(_as_position)]


class RoadmapFrontmatter(WireModel):
    """The quick state above a roadmap; other keys and other status words are kept.

    ``current_phase`` and ``current_plan`` are whole numbers where they were written as such, else the text.
    """

    version: Position | float | None = None
    project: Text | None = None
    milestone: Text | None = None
    current_phase: Position | None = None
    current_plan: Position | None = None
    status: Text | None = None
    total_phases: int | None = None
    completed_phases: int | None = None
    total_plans: int | None = None
    completed_plans: int | None = None
    velocity: Velocity | None = None
    spec_dir: Text | None = None
    spec_id: Text | None = None
