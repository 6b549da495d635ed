"""Reading the YAML above a document's text, and losing as little as possible when it is broken.

Values follow YAML 1.2's core schema (``010``, ``yes`` and ``12:30`` are text), and the keys whose text
matters are read as written. When the whole does not parse, each top-level block is read by itself, then
each block inside a broken one: a wrong escape in one list costs that list alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from harness_nb.protocol.base import WireModel
from harness_nb.protocol.plans import PlanProblem

if TYPE_CHECKING:
    from collections.abc import Mapping

Model = TypeVar("Model", bound=WireModel)

TEXT_KEYS = frozenset(
    {"phase", "plan", "depends_on", "dependsOn", "depends-on", "plan_id", "requirements", "title"}
    | {"current_phase", "current_plan", "version", "milestone", "status", "spec_id", "files_modified", "files_read"}
)
"""Keys whose values are read as they are written, never as numbers or booleans."""

_SPLIT = re.compile(r"\A(\ufeff?)(---[ \t]*\r?\n)(.*?)^((?:---|\.\.\.)[ \t]*(?:\r?\n|\Z))", re.DOTALL | re.MULTILINE)
_OPENED = re.compile(r"\A\ufeff?---[ \t]*\r?\n[A-Za-z_][\w-]*[ \t]*:")
_BLOCK = re.compile(
    r"""^(?P<quote>["']?)(?P<key>[^\s#"'\-\[\]{}&*!|>%@`:][^\n"':]*?)(?P=quote)[ \t]*:(?=[ \t\r\n]|\Z)"""
)
_DEEPEST = 2


@dataclass(frozen=True)
class Split:
    """A document cut at its frontmatter; the five parts joined are the document."""

    mark: str
    opening: str
    yaml: str
    closing: str
    body: str

    @property
    def newline(self) -> str:
        """The line ending that the frontmatter uses."""
        return "\r\n" if self.opening.endswith("\r\n") else "\n"

    @property
    def body_line(self) -> int:
        """The line of the file, from 1, on which the body starts."""
        return 2 + self.yaml.count("\n") + self.closing.count("\n")


@dataclass(frozen=True)
class Block:
    """A key at the left margin with all lines that belong to it; offsets are into the YAML text."""

    key: str
    start: int
    end: int
    line: int


@dataclass(frozen=True)
class Finding:
    """A part of the frontmatter that could not be read: the key, the line in the file, and what is wrong."""

    key: str
    line: int
    message: str


@dataclass
class Reading:
    """What a frontmatter says, the line of each key, and what could not be read."""

    present: bool = False
    values: dict[str, Any] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


def split_frontmatter(text: str) -> Split | None:
    """Return the document cut at its frontmatter, or ``None`` when it does not start with one that is closed."""
    match = _SPLIT.match(text)
    if match is None:
        return None
    mark, opening, yaml_text, closing = match.groups()
    return Split(mark, opening, yaml_text, closing, text[match.end() :])


def read_frontmatter(text: str) -> Reading:
    """Return what the frontmatter of a document says; what is broken in it becomes a finding."""
    split = split_frontmatter(text)
    if split is None:
        reading = Reading()
        if _OPENED.match(text):
            message = "The frontmatter is never closed, so none of it was read; end it with a line that is only ---"
            reading.findings.append(Finding("", 1, message))
        return reading
    return _read_yaml(split.yaml, first_line=2)


def _read_yaml(yaml_text: str, first_line: int) -> Reading:
    reading = Reading(present=True)
    try:
        _read_mapping(yaml_text, first_line, reading)
    except _YAMLFailure:
        reading = Reading(present=True)
        reading.values = _read_blocks(yaml_text, first_line, reading, depth=1)
    return reading


def split_blocks(yaml_text: str) -> list[Block]:
    """Return the top-level keys of a mapping and where each one's lines begin and end, without parsing them."""
    starts: list[tuple[str, int, int]] = []
    offset = 0
    for number, line in enumerate(yaml_text.split("\n")):
        if match := _BLOCK.match(line):
            starts.append((match["key"], offset, number))
        offset += len(line) + 1
    ends = [*(start for _, start, _ in starts), len(yaml_text)][1:]
    return [Block(key, start, end, line) for (key, start, line), end in zip(starts, ends, strict=True)]


class _YAMLFailure(Exception):  # noqa: N818 - a condition inside this module, never shown
    def __init__(self, line: int, what: str) -> None:
        super().__init__(what)
        self.line = line


@lru_cache(maxsize=1)
def loader_class() -> type[Any]:
    """Return the YAML loader with YAML 1.2's core schema, on libyaml where it is there."""
    import yaml

    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    loader: Any = type("PlanLoader", (base,), {"yaml_implicit_resolvers": {}})
    for tag, pattern in (
        ("null", r"^(?:~|null|Null|NULL|)$"),
        ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$"),
        ("int", r"^[-+]?(?:0|[1-9][0-9]{0,17})$"),
        ("float", r"^[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?$"),
    ):
        loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(pattern), None)
    found: type[Any] = loader
    return found


def _read_mapping(yaml_text: str, first_line: int, reading: Reading) -> None:
    import yaml

    try:
        loader = loader_class()(yaml_text)
        node = loader.get_single_node()
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise _failure(error) from error
    if node is None:
        return
    if not isinstance(node, yaml.MappingNode):
        reading.findings.append(Finding("", first_line, "The frontmatter is no mapping; write it as key: value lines"))
        return
    _report_duplicates(node, first_line, reading)
    for key_node, value_node in node.value:
        key = str(key_node.value)
        line = first_line + key_node.start_mark.line
        reading.lines[key] = line
        try:
            reading.values[key] = _construct(loader, value_node, as_text=key in TEXT_KEYS)
        except (yaml.YAMLError, RecursionError, ValueError, TypeError) as error:
            failure = _failure(error)
            reading.findings.append(_finding(key, first_line + failure.line, failure))
        if isinstance(value_node, yaml.SequenceNode):
            for number, item in enumerate(value_node.value):
                reading.lines[f"{key}.{number}"] = first_line + item.start_mark.line
        elif isinstance(value_node, yaml.MappingNode):
            for inner, _ in value_node.value:
                reading.lines[f"{key}.{inner.value}"] = first_line + inner.start_mark.line


def _report_duplicates(mapping: Any, first_line: int, reading: Reading) -> None:
    """Report keys that stand twice in one mapping, at any depth, under the top-level key that holds them."""
    top: dict[str, int] = {}
    for key_node, value_node in mapping.value:
        key = str(key_node.value)
        _report_if_twice(top, key, plain_key(key), first_line + key_node.start_mark.line, reading)
        waiting, seen = [value_node], {id(value_node)}
        while waiting:
            node = waiting.pop()
            there: dict[str, int] = {}
            for part in node.value if isinstance(node.value, list) else []:
                if isinstance(part, tuple) and isinstance(part[0].value, str):
                    name = part[0].value
                    _report_if_twice(there, key, name, first_line + part[0].start_mark.line, reading)
                inner = part[1] if isinstance(part, tuple) else part
                if id(inner) not in seen:  # an alias may lead back to where it stands
                    seen.add(id(inner))
                    waiting.append(inner)


def _report_if_twice(lines: dict[str, int], key: str, name: str, line: int, reading: Reading) -> None:
    if name in lines:
        message = f"{name} is written twice, on lines {lines[name]} and {line}, and only one can count; keep one"
        reading.findings.append(Finding(key, line, message))
    lines.setdefault(name, line)


def plain_key(key: str) -> str:
    """Return a key as this package spells it: ``mustPass`` and ``must-pass`` are ``must_pass``."""
    return re.sub(r"(?<=[a-z0-9])[A-Z]", lambda match: f"_{match[0].lower()}", key.replace("-", "_"))


def _construct(loader: Any, node: Any, *, as_text: bool) -> Any:
    return _text_of(node) if as_text else loader.construct_object(node, deep=True)


def _text_of(node: Any) -> Any:
    if node.id == "sequence":
        return [_text_of(item) for item in node.value]
    if node.id == "mapping":
        return {str(key.value): _text_of(value) for key, value in node.value}
    return None if node.tag.endswith(":null") and not node.style else node.value


def _failure(error: Exception) -> _YAMLFailure:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    what = getattr(error, "problem", None) or type(error).__name__
    return _YAMLFailure(mark.line if mark is not None else 0, str(what))


def _finding(key: str, line: int, failure: _YAMLFailure) -> Finding:
    message = f"{key} is not valid YAML here ({failure}) and was not read; quote the text in 'single quotes'"
    return Finding(key, line, message)


def _read_blocks(yaml_text: str, first_line: int, reading: Reading, *, depth: int, prefix: str = "") -> dict[str, Any]:
    values: dict[str, Any] = {}
    blocks = split_blocks(yaml_text)
    _report_preamble(yaml_text, blocks, first_line, reading, prefix)
    known: dict[str, int] = {}
    for block in blocks:
        line = first_line + block.line
        name = f"{prefix}{block.key}"
        _report_if_twice(known, name, plain_key(name), line, reading)
        part = Reading()
        try:
            _read_mapping(yaml_text[block.start : block.end], line, part)
        except _YAMLFailure as failure:
            inner = _read_inside(yaml_text[block.start : block.end], line, reading, depth, name)
            if inner:
                values[block.key] = inner
            if inner is None:
                reading.findings.append(_finding(name, line + failure.line, failure))
        values.update(part.values)
        reading.findings += [replace(finding, key=f"{prefix}{finding.key}") for finding in part.findings]
        if depth == 1:
            reading.lines.update(part.lines or {block.key: line})
    return values


def _report_preamble(yaml_text: str, blocks: list[Block], first_line: int, reading: Reading, prefix: str) -> None:
    head = yaml_text[: blocks[0].start] if blocks else yaml_text
    for number, line in enumerate(head.split("\n")):
        if line.strip() and not line.lstrip().startswith("#"):
            message = "The frontmatter is not valid YAML here and was not read; write it as key: value lines"
            reading.findings.append(Finding(prefix.rstrip("."), first_line + number, message))
            return


def _read_inside(block: str, line: int, reading: Reading, depth: int, name: str) -> dict[str, Any] | None:
    """Return what can be read of a broken block's own blocks; ``None`` when it has none."""
    head, _, rest = block.partition("\n")
    if depth >= _DEEPEST or not re.search(r":[ \t]*(?:#.*)?\r?$", head):
        return None
    lines = rest.split("\n")
    indents = [
        len(text) - len(text.lstrip(" ")) for text in lines if text.strip() and not text.lstrip().startswith("#")
    ]
    if not indents or min(indents) == 0:
        return None
    inner = "\n".join(text[min(indents) :] for text in lines)
    if not split_blocks(inner):
        return None
    return _read_blocks(inner, line + 1, reading, depth=depth + 1, prefix=f"{name}.")


def validated(model: type[Model], reading: Reading, path: str) -> tuple[Model, list[PlanProblem]]:
    """Return a frontmatter as its model; a key whose value cannot be used is left out and named with its line."""
    values = dict(reading.values)
    names = {alias: name for name, info in model.model_fields.items() for alias in (name, info.alias) if alias}
    values = {_known_key(key, names): value for key, value in values.items()}
    problems: list[PlanProblem] = []
    while True:
        try:
            return model.model_validate(values), problems
        except ValidationError as error:
            for item in error.errors(include_url=False, include_context=False):
                key = names.get(str(item["loc"][0]), str(item["loc"][0])) if item["loc"] else ""
                if key not in values:
                    key = next(iter(values), "")
                values.pop(key, None)
                message = f"{key} has a value that cannot be used and was left out: {item['msg'].lower()}"
                line = reading.lines.get(key)
                problems.append(PlanProblem(message=message, path=path, line=line, kind="value"))


def _known_key(key: str, names: Mapping[str, str]) -> str:
    return names.get(key) or names.get(key.replace("-", "_")) or key
