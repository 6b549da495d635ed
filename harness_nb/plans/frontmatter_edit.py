"""Changing single keys of a frontmatter without touching any other byte of the document.

Nothing is dumped anew: the YAML parser only says where each value begins and ends, and the new value is put
there. Comments, order, blank lines, the quoting of other values, line endings and the text below all stay.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness_nb.plans.frontmatter import loader_class, split_blocks, split_frontmatter

if TYPE_CHECKING:
    from collections.abc import Mapping

_INDENT = "  "
_LIKE_A_NUMBER = re.compile(r"[-+]?[\d._:]*\d[\d._:]*(?:[eE][-+]?\d+)?")


@dataclass(frozen=True)
class _Edit:
    start: int
    end: int
    text: str


def update_frontmatter(text: str, changes: Mapping[str, Any], *, insert: bool = False) -> str:
    """Return the document with these keys of its frontmatter set, and every other byte as it was.

    A value is plain JSON data; a mapping changes the named keys inside a mapping that is there. A key that is
    not there is added at the end. A document without a frontmatter is returned as it is, unless ``insert``.
    """
    split = split_frontmatter(text)
    if split is None:
        return _with_new_frontmatter(text, changes) if insert and changes else text
    yaml_text = split.yaml
    for key, value in changes.items():
        yaml_text = _set_key(yaml_text, key, value, split.newline)
    return split.mark + split.opening + yaml_text + split.closing + split.body


def _with_new_frontmatter(text: str, changes: Mapping[str, Any]) -> str:
    mark, body = ("\ufeff", text[1:]) if text.startswith("\ufeff") else ("", text)
    newline = "\r\n" if re.search(r"\r\n", body) else "\n"
    lines = "".join(f"{_entry(key, value, '', newline)}{newline}" for key, value in changes.items())
    return f"{mark}---{newline}{lines}---{newline}{newline}{body}"


def _set_key(yaml_text: str, key: str, value: Any, newline: str) -> str:
    found = [block for block in split_blocks(yaml_text) if block.key == key]
    if not found:
        return f"{yaml_text}{_entry(key, value, '', newline)}{newline}"
    block = found[-1]  # of a key given twice, the last counts
    old = yaml_text[block.start : block.end]
    return yaml_text[: block.start] + _set_in_block(old, value, newline) + yaml_text[block.end :]


def _set_in_block(old: str, value: Any, newline: str) -> str:
    edits: list[_Edit] | None = None
    pair = _parsed_pair(old)
    if pair is not None:
        edits = _edits(old, *pair, value, newline)
    if edits is None:
        edits = [_replace_all_lines(old, value, newline)]
    for edit in sorted(edits, key=lambda item: item.start, reverse=True):
        old = old[: edit.start] + edit.text + old[edit.end :]
    return old


def _parsed_pair(text: str) -> tuple[Any, Any] | None:
    """Return the key's and the value's node when the text is one key that parses, else ``None``."""
    import yaml

    try:
        node = loader_class()(text).get_single_node()
    except (yaml.YAMLError, RecursionError, ValueError):
        return None
    if not isinstance(node, yaml.MappingNode) or len(node.value) != 1:
        return None
    key, value = node.value[0]
    return key, value


def _replace_all_lines(old: str, value: Any, newline: str) -> _Edit:
    """Replace all that follows the colon of a block that is broken, up to its last line with content."""
    key_end = re.match(r"""(["']?).*?\1[ \t]*:""", old)
    start = key_end.end() if key_end else old.index(":") + 1
    end = len(old.rstrip())
    return _Edit(start, max(start, end), _after_colon(value, "", newline))


def _edits(text: str, key: Any, node: Any, value: Any, newline: str) -> list[_Edit] | None:
    """Return what to change for one value; ``None`` when the node does not stand where the key is."""
    import yaml

    if node.start_mark.index < key.end_mark.index:  # an alias: its node stands where the anchor is
        return None
    if isinstance(value, dict) and isinstance(node, yaml.MappingNode):
        return _edits_inside(text, key, node, value, newline)
    if _means(node, value):
        return []
    start, end = node.start_mark.index, _end_of(text, node)
    indent = " " * key.start_mark.column
    if start == end:
        return [_Edit(start, end, _after_colon(value, indent, newline))]
    if isinstance(node, yaml.ScalarNode) and node.style not in ("|", ">") and not isinstance(value, dict):
        return [_Edit(start, end, _inline(value, node.style))]
    if isinstance(node, yaml.SequenceNode) and isinstance(value, list) and value and not node.flow_style:
        column = " " * node.start_mark.column
        items = f"{newline}{column}".join(f"- {_inline(item)}" for item in value)
        return [_Edit(start, end, items)]
    if getattr(node, "flow_style", False) and not isinstance(value, dict):
        return [_Edit(start, end, _inline(value))]
    colon = text.index(":", key.end_mark.index) + 1
    return [_Edit(colon, end, _after_colon(value, indent, newline))]


def _edits_inside(text: str, key: Any, node: Any, changes: dict[str, Any], newline: str) -> list[_Edit] | None:
    edits: list[_Edit] = []
    added: list[tuple[str, Any]] = []
    there = {str(child_key.value): (child_key, child) for child_key, child in node.value}
    for name, value in changes.items():
        if name not in there:
            added.append((name, value))
            continue
        inner = _edits(text, *there[name], value, newline)
        if inner is None or (node.flow_style and isinstance(value, dict) and inner):
            return None if inner is None else _whole(text, node, changes)
        edits += inner
    if not added:
        return edits
    if node.flow_style:
        return [*edits, _added_in_flow(text, node, added)]
    column = " " * (node.value[0][0].start_mark.column if node.value else key.start_mark.column + len(_INDENT))
    end = _end_of(text, node)
    lines = "".join(f"{newline}{_entry(name, value, column, newline)}" for name, value in added)
    line_end = text.find("\n", end)  # a comment may follow the last value: go on below it
    at = len(text) if line_end < 0 else line_end - (1 if text[line_end - 1 : line_end] == "\r" else 0)
    return [*edits, _Edit(at, at, lines)]


def _whole(text: str, node: Any, changes: dict[str, Any]) -> list[_Edit]:
    """Write a flow mapping anew, for changes deeper in it than one level."""
    merged = _merged(loader_class()("").construct_object(node, deep=True), changes)
    return [_Edit(node.start_mark.index, _end_of(text, node), _inline(merged))]


def _merged(old: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = dict(old)
    for name, value in changes.items():
        both = isinstance(value, dict) and isinstance(merged.get(name), dict)
        merged[name] = _merged(merged[name], value) if both else value
    return merged


def _added_in_flow(text: str, node: Any, added: list[tuple[str, Any]]) -> _Edit:
    parts = ", ".join(f"{_inline(name)}: {_inline(value)}" for name, value in added)
    if not node.value:
        at = node.start_mark.index + 1
        return _Edit(at, at, parts)
    at = _end_of(text, node.value[-1][1])
    return _Edit(at, at, f", {parts}")


def _end_of(text: str, node: Any) -> int:
    """Return where a value's own text ends: the parser puts a block's end at whatever comes next."""
    import yaml

    if isinstance(node, yaml.ScalarNode):
        end: int = node.end_mark.index
        if node.style in ("|", ">"):
            return len(text[:end].rstrip("\r\n \t"))
        return end
    if node.flow_style or not node.value:
        return int(node.end_mark.index)
    last = node.value[-1]
    return max(_end_of(text, part) for part in (last if isinstance(last, tuple) else (last,)))


def _means(node: Any, value: Any) -> bool:
    """Whether the value that is there already says this, type and all."""
    if isinstance(value, dict):
        return False
    old = loader_class()("").construct_object(node, deep=True)
    return type(old) is type(value) and bool(old == value)


def _entry(key: str, value: Any, indent: str, newline: str) -> str:
    return f"{indent}{_inline(key)}:{_after_colon(value, indent, newline)}"


def _after_colon(value: Any, indent: str, newline: str) -> str:
    if not isinstance(value, dict) or not value:
        return f" {_inline(value)}"
    deeper = indent + _INDENT
    return newline + newline.join(_entry(str(key), item, deeper, newline) for key, item in value.items())


def _inline(value: Any, style: str | None = None) -> str:
    """Return a value as YAML on one line, quoted as the old one was where it is text."""
    if isinstance(value, str):
        broken = any(mark in value for mark in "\r\n\x85\u2028\u2029")
        if broken or style == '"':
            return _dumped(value, '"')
        # Other parsers read 08 as a number, and a plain comma ends a value inside brackets.
        if style == "'" or _LIKE_A_NUMBER.fullmatch(value):
            return _dumped(value, "'")
        return _dumped([value])[1:-1]
    return _dumped(value)


def _dumped(value: Any, style: str | None = None) -> str:
    import yaml

    text = yaml.safe_dump(
        value, default_style=style, default_flow_style=True, width=float("inf"), allow_unicode=True, sort_keys=False
    )
    return str(text).removesuffix("\n").removesuffix("\n...")
