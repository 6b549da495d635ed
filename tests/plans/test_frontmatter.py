"""Reading frontmatter with as little loss as possible, and changing it without touching anything else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness_nb.plans.frontmatter import read_frontmatter, split_frontmatter
from harness_nb.plans.frontmatter_edit import update_frontmatter


def test_split_parts_joined_are_the_document() -> None:
    text = "\ufeff---\r\na: 1\r\n---\r\nbody\r\n---\r\nrule\r\n"
    split = split_frontmatter(text)
    assert split is not None
    assert split.mark + split.opening + split.yaml + split.closing + split.body == text
    assert (split.body, split.body_line) == ("body\r\n---\r\nrule\r\n", 4)


@pytest.mark.parametrize("text", ["", "# title\n", "\n---\na: 1\n---\n", "---\nnever closed\n"])
def test_a_document_that_does_not_start_with_a_closed_block_has_no_frontmatter(text: str) -> None:
    assert split_frontmatter(text) is None
    assert not read_frontmatter(text).present


def test_a_frontmatter_that_is_never_closed_is_reported() -> None:
    [finding] = read_frontmatter("---\nphase: 1\ndepends_on: [01-01]\n").findings
    assert (finding.line, finding.key) == (1, "")


def test_numbers_that_are_names_are_read_as_written_and_other_values_by_their_type() -> None:
    text = (
        "---\nphase: 69.1\nplan: 010\ndepends_on: [1, 02, 15.1]\nwave: 2\nautonomous: true\nwhen: 12:30\nx: no\n---\n"
    )
    values = read_frontmatter(text).values
    assert (values["phase"], values["plan"], values["depends_on"]) == ("69.1", "010", ["1", "02", "15.1"])
    assert (values["wave"], values["autonomous"], values["when"], values["x"]) == (2, True, "12:30", "no")


def test_a_wrong_escape_costs_its_own_list_and_names_its_line() -> None:
    text = (
        "---\nphase: 01-a\nmust_haves:\n  truths:\n    - it works\n  key_links:\n"
        '    - from: a\n      pattern: "a\\.b"\ndepends_on: [01-01]\nwave: 2\n---\n'
    )
    reading = read_frontmatter(text)
    assert reading.values == {
        "phase": "01-a",
        "must_haves": {"truths": ["it works"]},
        "depends_on": ["01-01"],
        "wave": 2,
    }
    [finding] = reading.findings
    assert (finding.key, finding.line) == ("must_haves.key_links", 8)
    assert reading.lines["depends_on"] == 9


def test_tab_indentation_costs_its_own_block() -> None:
    reading = read_frontmatter("---\nplan: 01\nmust_haves:\n\ttruths:\n\t\t- x\ndepends_on:\n- 01-00 # why\n---\n")
    assert reading.values == {"plan": "01", "depends_on": ["01-00"]}
    assert [finding.line for finding in reading.findings] == [4]


def test_items_have_lines_too() -> None:
    reading = read_frontmatter("---\ndepends_on:\n  - 01-01\n  # why\n  - 01-02\n---\n")
    assert (reading.lines["depends_on.0"], reading.lines["depends_on.1"]) == (3, 5)


def test_a_document_that_is_a_list_or_nests_without_end_is_reported_and_not_fatal() -> None:
    assert read_frontmatter("---\n- a\n- b\n---\n").findings
    assert read_frontmatter(f"---\na: {'[' * 5000}\nb: 1\n---\n").values.get("b") == 1


BEFORE = """---
# quick state
version: 1
status: 'executing'   # what we do

current_phase:
velocity:
  total_plans_completed: 3   # so far
  average_minutes_per_plan: 1.5

# below velocity
flow: {a: 1, b: [x, y]}  # one line
plans:
  - one  # first
  - two
quoted: "x"
---
# Roadmap

status: not this one
"""


@pytest.mark.row(7)
@pytest.mark.parametrize(
    ("changes", "old", "new"),
    [
        ({"version": 2}, "version: 1\n", "version: 2\n"),
        ({"status": "it's done"}, "'executing'   #", "'it''s done'   #"),
        ({"current_phase": 3}, "current_phase:\n", "current_phase: 3\n"),
        ({"velocity": {"total_plans_completed": 4}}, "completed: 3   #", "completed: 4   #"),
        ({"velocity": {"new": 1}}, "per_plan: 1.5\n", "per_plan: 1.5\n  new: 1\n"),
        ({"flow": {"b": "p, q", "c": 2}}, "{a: 1, b: [x, y]}", "{a: 1, b: 'p, q', c: 2}"),
        ({"plans": ["three"]}, "  - one  # first\n  - two\n", "  - three\n"),
        ({"quoted": "08"}, 'quoted: "x"', 'quoted: "08"'),
        ({"added": "08"}, 'quoted: "x"\n', "quoted: \"x\"\nadded: '08'\n"),
        ({"added": {"a": {"b": 1}}}, 'quoted: "x"\n', 'quoted: "x"\nadded:\n  a:\n    b: 1\n'),
        ({"version": 1, "status": "executing"}, "", ""),
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_an_update_changes_the_named_keys_lines_and_no_other_byte(
    changes: dict[str, Any], old: str, new: str, newline: str
) -> None:
    expected = BEFORE.replace(old, new, 1) if old else BEFORE
    text, expected = (part.replace("\n", newline) for part in (BEFORE, expected))
    assert update_frontmatter(text, changes) == expected
    assert update_frontmatter("\ufeff" + text, changes) == "\ufeff" + expected


def test_a_key_beside_a_broken_one_and_the_broken_one_itself_can_be_changed() -> None:
    text = '---\nstatus: a\nbad: "x\\.y"  # no\n---\nbody\n'
    assert update_frontmatter(text, {"status": "b"}) == text.replace("status: a", "status: b")
    assert update_frontmatter(text, {"bad": "fine"}) == "---\nstatus: a\nbad: fine\n---\nbody\n"


def test_a_frontmatter_is_inserted_only_when_asked() -> None:
    assert update_frontmatter("# Title\n", {"status": "x"}) == "# Title\n"
    assert update_frontmatter("# Title\r\n", {"status": "x"}, insert=True) == (
        "---\r\nstatus: x\r\n---\r\n\r\n# Title\r\n"
    )


KEYS = st.sampled_from(["alpha", "beta", "gamma", "delta"])
SCALARS = st.one_of(
    st.integers(-(10**6), 10**6),
    st.booleans(),
    st.none(),
    st.text(
        st.characters(exclude_categories=("Cs", "Cc", "Cn", "Co"), include_characters="\n\t#:-'\",[]{}"), max_size=12
    ),
)
LINES = st.sampled_from(
    [
        "# comment: with colon",
        "",
        "other: 'kept'   # note",
        "list:\n  - a  # x\n\n  - b",
        "nested:\n  deep:\n    er: 1 # z\n",
        'broken: "\\q"',
        "text: |\n  alpha: 1\n\n  two",
        "flow: {alpha: 1, b: [x,\n  y]}",
    ]
)


@settings(max_examples=150, deadline=None)
@given(
    old=st.dictionaries(KEYS, st.sampled_from(["1", "'q'  # c", '"d"', "", "[a, b]", "plain text # c"]), min_size=1),
    others=st.lists(LINES, max_size=4, unique=True),
    changes=st.dictionaries(KEYS, SCALARS, min_size=1),
    newline=st.sampled_from(["\n", "\r\n"]),
)
def test_whatever_is_changed_reads_back_and_everything_else_stays(
    old: dict[str, str], others: list[str], changes: dict[str, Any], newline: str
) -> None:
    lines = [f"{key}: {value}" if value else f"{key}:" for key, value in old.items()]
    head = "\n".join(part for pair in zip(lines, others + [""] * len(lines), strict=False) for part in pair)
    text = f"---\n{head}\n---\n# Text\n\nalpha: 5\n".replace("\n", newline)
    new = update_frontmatter(text, changes)
    values = read_frontmatter(new).values
    assert {key: values[key] for key in changes} == changes
    # Without the lines of the changed keys, both documents are the same to the byte.
    assert _without(new, changes) == _without(text, changes)


def _without(text: str, changes: dict[str, Any]) -> list[str]:
    lines, body, inside = [], False, 0
    for line in text.split("\n"):
        inside += line.rstrip("\r") == "---"
        body = inside > 1
        if body or not any(line.startswith(f"{key}:") for key in changes):
            lines.append(line)
    return lines
