"""Styled frames: what they look like, how long they get, and that they stay frames."""

from __future__ import annotations

import pickle
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import pytest

from harness_nb.protocol import frame
from harness_nb.protocol.frame import span_text, styled, styled_class
from harness_nb.protocol.records import PLAN_STATES

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def page(made: pd.DataFrame) -> str:
    found = made._repr_html_()  # type: ignore[operator]
    assert isinstance(found, str)
    return found.partition("</style>")[2]


def one_of_each() -> pd.DataFrame:
    columns: dict[str, Any] = {
        "state": frame.words(["complete", "failed"], PLAN_STATES),
        "passed": frame.flags([True, None]),
        "attempts": frame.counts([2, None]),
        "duration": frame.spans([7.0, None]),
        "at": frame.moments([NOON, None]),
        "session_id": frame.texts(["abc", None]),
        "data": frame.objects([{"a": 1}, {}]),
        "needs": frame.objects([("x", "y"), ()]),
    }
    return styled(columns, ["01-01", "01-02"], "plan")


def long(rows: int) -> pd.DataFrame:
    return styled({"n": frame.counts(range(rows))}, range(rows), "seq", "int64")


class TestLook:
    def test_a_state_has_a_sign_a_word_and_a_colour(self) -> None:
        shown = page(one_of_each())
        assert '<span class="hnb-mark hnb-good">✓ complete</span>' in shown
        assert '<span class="hnb-mark hnb-bad">✕ failed</span>' in shown

    def test_numbers_stand_right_ids_are_monospaced_and_what_is_missing_is_blank(self) -> None:
        shown = page(one_of_each())
        assert '<td class="hnb-num">2</td>' in shown
        assert '<td class="hnb-num">0:07</td>' in shown
        assert '<td class="hnb-code">abc</td>' in shown
        assert "<td>2026-01-02 12:00:00Z</td>" in shown
        assert "<td>x, y</td>" in shown
        assert not any(word in shown for word in ("NaT", "NA", "nan", "None"))

    def test_long_text_is_cut_and_its_whole_is_the_title(self) -> None:
        shown = page(styled({"reason": frame.texts(["word " * 30])}, ["a"], "plan"))
        assert "…</td>" in shown
        assert f'title="{("word " * 30).strip()}"' in shown
        with pd.option_context("display.max_colwidth", None):
            assert "…" not in page(styled({"reason": frame.texts(["word " * 30])}, ["a"], "plan"))

    def test_everything_is_shown_as_text(self) -> None:
        evil = "<script>alert(1)</script>\"'"
        made = styled({evil: frame.texts([evil]), "data": frame.objects([{evil: evil}])}, [evil], evil)
        assert "<script" not in made._repr_html_()  # type: ignore[operator]

    def test_the_same_frame_is_the_same_page(self) -> None:
        assert page(one_of_each()) == page(one_of_each())

    def test_an_empty_frame_says_so_below_its_columns(self) -> None:
        shown = page(long(0))
        assert "no rows" in shown
        assert ">n</th>" in shown

    @pytest.mark.parametrize(
        ("seconds", "text"),
        [(0, "0:00"), (0.0121, "12 ms"), (7, "0:07"), (90.5, "1:30"), (3723, "1:02:03"), (-7, "-0:07")],
    )
    def test_time_spans_are_written_as_people_do(self, seconds: float, text: str) -> None:
        assert span_text(seconds) == text


class TestLength:
    def test_a_long_frame_is_cut_where_pandas_cuts(self) -> None:
        shown = page(long(1000))
        assert "1000 rows × 1 columns" in shown
        assert shown.count("<tr>") == 1 + 10 + 1
        with pd.option_context("display.max_rows", None):
            assert page(long(100)).count("<tr>") == 101

    def test_a_wide_frame_is_cut_where_pandas_cuts(self) -> None:
        wide = styled({f"c{number}": frame.counts([number]) for number in range(30)}, ["a"], "plan")
        with pd.option_context("display.max_columns", 4):
            assert page(wide).count("<th ") == 1 + 4 + 1 + 1
            assert "1 rows × 30 columns" in page(wide)

    def test_pandas_own_switch_turns_the_page_off(self) -> None:
        with pd.option_context("display.notebook_repr_html", False):
            assert long(1)._repr_html_() is None  # type: ignore[operator]


class TestFrameHood:
    @pytest.mark.parametrize(
        "change",
        [
            lambda it: it[["state", "duration"]],
            lambda it: it.head(1),
            lambda it: it.sort_values("attempts"),
            lambda it: it[it["state"] == "failed"],
            lambda it: it.reset_index(),
            lambda it: pickle.loads(pickle.dumps(it)),
        ],
    )
    def test_what_is_made_of_a_frame_stays_styled(self, change: Any) -> None:
        made = change(one_of_each())
        assert "hnb-report" in made._repr_html_()
        assert type(made) is styled_class()

    def test_several_levels_are_left_to_pandas(self) -> None:
        levels: Any = one_of_each().set_index(["state", "attempts"])
        shown = levels._repr_html_()
        assert "hnb-report" not in str(shown)

    def test_the_protocol_leaves_pandas_alone_until_a_frame_is_made(self) -> None:
        code = (
            "import sys, harness_nb.protocol.outcome, harness_nb.protocol.state, harness_nb.protocol.frame;"
            "print([name for name in ('pandas', 'jinja2') if name in sys.modules])"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
        assert done.stdout.strip() == "[]"
