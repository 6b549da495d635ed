"""The roadmap's quick state and phases are read; only named keys are ever written."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Any

import pytest

from harness_nb.plans.frontmatter_edit import update_frontmatter
from harness_nb.plans.roadmap import parse_roadmap, phases_named, write_roadmap

if TYPE_CHECKING:
    from pathlib import Path

TEXT = """---
version: '1.0'
current_phase: 2.1
current_plan: 3
status: having_a_break
total_phases: 7
velocity:
  total_plans_completed: 8
  average_minutes_per_plan: 4.5
mood: good
total_plans: many
---
# Roadmap

- [x] **Phase 1: Ground work** - with a note
- [ ] **Phase 2: Upper floor**

## ✅ Phase 1: Ground work (done 2026-01-01) ✅

**Depends on**: Nothing (first phase)

### Phase 2: Upper floor — SHIPPED

**Depends on:** Phase 1 (can run beside Phase 9)

### Phase 2.1: Stairs (INSERTED)

## Notes

**Depends on**: Phase 99
"""


@pytest.mark.row(7)
def test_quick_state_keeps_unknown_keys_and_words_and_names_what_is_unusable() -> None:
    roadmap = parse_roadmap(TEXT)
    state = roadmap.frontmatter
    assert state is not None
    assert (state.version, state.current_phase, state.current_plan) == ("1.0", "2.1", 3)
    assert (state.status, state.total_phases, state.total_plans) == ("having_a_break", 7, None)
    assert state.velocity is not None
    assert (state.velocity.total_plans_completed, state.velocity.average_minutes_per_plan) == (8, 4.5)
    assert state.unknown_keys == ("mood",)
    [problem] = roadmap.problems
    assert str(problem).startswith("ROADMAP.md:11: total_plans has a value that cannot be used")


def test_phases_have_names_and_what_they_depend_on() -> None:
    phases = parse_roadmap(TEXT).phases
    found = {number: (phase.name, phase.depends_on) for number, phase in phases.items()}
    assert found == {
        "1": ("Ground work", ()),
        "2": ("Upper floor", ("1",)),
        "2.1": ("Stairs", None),
    }
    assert phases["2"].depends_line == 24


@pytest.mark.parametrize(
    ("text", "phases"),
    [
        ("Phase 3", ("3",)),
        ("Phase 03, Phase 4.1", ("3", "4.1")),
        ("Phases 5 and 6 (both)", ("5", "6")),
        ("Phases 2-4", ("2", "3", "4")),
        ("Phases 2 through 4", ("2", "3", "4")),
        ("Phase 4.5-03 probe", ("4.5",)),
        ("Nothing (first phase)", ()),
        ("None", ()),
        ("-", ()),
        ("Phase 5 (v1.0 complete), Phase 6 (also)", ("5", "6")),
        ("Phase 31 (can develop in parallel with Phase 32)", ("31",)),
        ("Phase 4 first slice (shipped). NOT on Phase 4.1", ("4",)),
        ("Wave A complete (Phases 57-62)", None),
        ("All previous phases", None),
        ("**Phase 2** & Phase 3", ("2", "3")),
    ],
)
def test_only_phases_before_a_remark_count(text: str, phases: tuple[str, ...] | None) -> None:
    assert phases_named(text) == phases


@pytest.mark.row(7)
def test_writing_changes_the_named_keys_and_keeps_every_other_byte(tmp_path: Path) -> None:
    file = tmp_path / "ROADMAP.md"
    odd = TEXT.encode().replace(b"Ground work", b"Gr\xfcnd work").replace(b"\n", b"\r\n")
    file.write_bytes(odd)
    file.chmod(0o640)
    assert write_roadmap(file, {"status": "executing", "velocity": {"total_plans_completed": 9}})
    expected = odd.replace(b"having_a_break", b"executing").replace(b"completed: 8", b"completed: 9")
    assert file.read_bytes() == expected
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert not write_roadmap(file, {"status": "executing"})
    assert [entry.name for entry in tmp_path.iterdir()] == ["ROADMAP.md"]


@pytest.mark.row(7)
def test_what_a_person_saves_while_a_key_is_written_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between reading the roadmap and replacing it an editor saved: the key is set in what was saved."""
    file = tmp_path / "ROADMAP.md"
    file.write_text("---\nstatus: a\n---\n# Old\n")
    saves = ["---\nstatus: a\nowner: ann\n---\n# New\n"]

    def update(text: str, *arguments: Any, **options: Any) -> str:
        if saves:
            file.write_text(saves.pop())
        return update_frontmatter(text, *arguments, **options)

    monkeypatch.setattr("harness_nb.plans.roadmap.update_frontmatter", update)
    assert write_roadmap(file, {"status": "b"})
    assert file.read_text() == "---\nstatus: b\nowner: ann\n---\n# New\n"
    assert [entry.name for entry in tmp_path.iterdir()] == ["ROADMAP.md"]


def test_writing_through_a_link_changes_the_file_behind_it(tmp_path: Path) -> None:
    real, link = tmp_path / "real.md", tmp_path / "ROADMAP.md"
    real.write_text("---\nstatus: a\n---\n")
    link.symlink_to(real)
    assert write_roadmap(link, {"status": "b"})
    assert link.is_symlink()
    assert real.read_text() == "---\nstatus: b\n---\n"


def test_nothing_is_written_where_there_is_no_frontmatter_unless_asked(tmp_path: Path) -> None:
    file = tmp_path / "ROADMAP.md"
    assert not write_roadmap(file, {"status": "a"})
    assert not file.exists()
    file.write_text("# Mine\n")
    assert not write_roadmap(file, {"status": "a"})
    assert write_roadmap(file, {"status": "a"}, insert=True)
    assert file.read_text() == "---\nstatus: a\n---\n\n# Mine\n"
    new = tmp_path / "NEW.md"
    assert write_roadmap(new, {"status": "a"}, insert=True)
    assert stat.S_IMODE(new.stat().st_mode) == 0o644
