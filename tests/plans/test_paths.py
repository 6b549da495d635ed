"""Two plans conflict when one writes what the other writes or reads; where it is unclear, they do."""

from __future__ import annotations

import pytest

from harness_nb.plans.paths import conflicts, listed_paths, read_paths


@pytest.mark.parametrize(
    ("ours", "theirs", "meet"),
    [
        ("src/a.ts", "./src//a.ts", True),
        ("src/a.ts", "src/b.ts", False),
        ("src/", "src/a.ts", True),
        ("src", "src/deep/a.ts", True),
        ("src/a", "src/ab", False),
        ("src/a.ts (NEW)", "src/a.ts # lines 1-40", True),
        ("`src/a.ts`", "src/a.ts:10-20", True),
        ("app/(auth)/page.tsx", "app/(auth)/page.tsx", True),
        ("app/(auth)/page.tsx", "app/(shop)/page.tsx", False),
        ("(auth)/page.tsx", "(auth)/page.tsx (NEW)", True),
        ("app/[id]/page.tsx", "app/i/page.tsx", False),
        ("app/[id]/page.tsx", "app/[id]/page.tsx", True),
        ("src/*.ts", "src/a.ts", True),
        ("src/*.ts", "src/a.py", False),
        ("src/*.ts", "src/deep/a.ts", False),
        ("src/**/*.ts", "src/deep/er/a.ts", True),
        ("src/**/*.ts", "src/a.ts", True),
        ("src/**/*.ts", "src/deep/", True),
        ("**/*.ts", "README.md", False),
        ("src/a*.ts", "src/*b.ts", True),
        ("src/a*.ts", "src/b*.ts", False),
        ("src/?.ts", "src/a.ts", True),
        ("src/?.ts", "src/ab.ts", False),
        ("src/{a,b}.ts", "src/a.ts", True),
        ("src/*", "src/a/b.ts", True),
        ("docs/*/x.md", "docs/v1.0", True),
        (".", "anything/at/all.py", True),
        ("a.ts or b.ts", "b.ts", True),
        ("(none - git operations only)", "src/a.ts", False),
        ("/etc/hosts", "etc/hosts", False),
        ("~/x", "~/x", True),
    ],
)
def test_paths_meet_or_not_whichever_side_asks(ours: str, theirs: str, meet: bool) -> None:
    assert bool(conflicts([ours], [], [theirs], [])) is meet
    assert bool(conflicts([theirs], [], [ours], [])) is meet


def test_readers_never_conflict_with_readers_and_writers_do_with_both() -> None:
    assert conflicts([], ["a.py"], [], ["a.py"]) == []
    assert conflicts(["a.py"], [], [], ["a.py"]) == ["a.py"]
    assert conflicts([], ["a.py", "b.py"], ["./b.py (NEW)", "c.py"], []) == ["b.py"]


def test_what_is_no_path_names_nothing() -> None:
    for text in ("", "(none)", "N/A", "none", "—", "TBD"):
        assert read_paths(text) == ()
    assert [pattern.text for pattern in read_paths("none.ts")] == ["none.ts"]


def test_the_files_of_a_task_are_read_from_lists_of_any_kind() -> None:
    assert listed_paths("a.py, b.py (x, y)\n- `c.py`\n2. d/\n(none)") == ["a.py", "b.py", "c.py", "d/"]
