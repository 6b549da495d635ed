"""DataFrames that people read: columns of the right dtype, and a styled table where one is displayed.

pandas is imported when the first frame is made, so ``StyledFrame`` is a class that is made then, once; it is an
attribute of this module, so that a frame can be pickled.
"""

from __future__ import annotations

import json
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from harness_nb.protocol.marks import SIGNS, Mark, mark_of
from harness_nb.protocol.shown import clock, short_line
from harness_nb.templates import render

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    import pandas as pd

STATE_COLUMNS = ("state", "status", "verdict")
VERDICT_COLUMNS = ("passed", "verified")
CODE_COLUMNS = ("id", "seq", "plan", "check", "command", "path", "in_response_to", "working_dir")
TITLE_LIMIT = 1000


class Cell(NamedTuple):
    """One value as the table shows it; ``title`` is the whole of what was cut."""

    text: str
    style: str = ""
    title: str = ""
    mark: Mark | None = None


def styled(columns: Mapping[str, Any], index: Iterable[Any], name: str, dtype: Any = "string") -> pd.DataFrame:
    """Return a frame of these columns that is styled when it is displayed."""
    import pandas as pd

    rows = pd.Index(pd.array(list(index), dtype=dtype), name=name)
    return styled_class()({key: pd.Series(values, index=rows) for key, values in columns.items()}, index=rows)


def texts(values: Iterable[str | None]) -> Any:
    """Return a column of texts; ``None`` is missing."""
    import pandas as pd

    return pd.array(list(values), dtype="string")


def words(values: Iterable[str | None], known: Iterable[str] = ()) -> Any:
    """Return a categorical column: the known words in their order, then those that only the values have."""
    import pandas as pd

    found = list(values)
    order = list(known)
    more = sorted({one for one in found if one is not None} - set(order))
    return pd.Categorical(found, categories=pd.Index([*order, *more], dtype="str"))


def flags(values: Iterable[bool | None]) -> Any:
    """Return a nullable column of booleans."""
    import pandas as pd

    return pd.array(list(values), dtype="boolean")


def counts(values: Iterable[int | None]) -> Any:
    """Return a nullable column of whole numbers."""
    import pandas as pd

    return pd.array(list(values), dtype="Int64")


def moments(values: Iterable[datetime | None]) -> Any:
    """Return a column of moments in UTC."""
    import pandas as pd

    found: Any = list(values)
    return pd.to_datetime(found, utc=True).as_unit("us").array


def spans(seconds: Iterable[float | None]) -> Any:
    """Return a column of time spans."""
    import pandas as pd

    found: Any = [None if one is None else timedelta(seconds=one) for one in seconds]  # whole microseconds
    return pd.to_timedelta(found).as_unit("us").array


def objects(values: Iterable[object]) -> Any:
    """Return a column of Python objects, such as dicts."""
    import pandas as pd

    return pd.Series(list(values), dtype=object).array


def span_text(seconds: float) -> str:
    """Return a time span as people write it: 12 ms, 0:07, 1:02:03."""
    if seconds < 0:
        return f"-{span_text(-seconds)}"
    if 0 < seconds < 1:
        return f"{max(1, round(seconds * 1000))} ms"
    return clock(seconds)


@cache
def styled_class() -> type[pd.DataFrame]:
    """Return the class ``StyledFrame``, made at the first call."""
    import pandas as pd

    class StyledFrame(pd.DataFrame):
        """A DataFrame that is styled when it is displayed; what is selected, sorted or cut from it is, too."""

        @property
        def _constructor(self) -> type[pd.DataFrame]:
            return StyledFrame

        def _repr_html_(self) -> str | None:
            if not pd.get_option("display.notebook_repr_html"):
                return None
            if self.columns.nlevels > 1 or self.index.nlevels > 1:
                return cast("str | None", cast("Any", super())._repr_html_())
            return frame_page(self)

    StyledFrame.__module__, StyledFrame.__qualname__ = __name__, "StyledFrame"
    return StyledFrame


def __getattr__(name: str) -> Any:
    if name == "StyledFrame":
        return styled_class()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def frame_page(frame: pd.DataFrame) -> str:
    """Return a frame as a table in HTML, as long and as wide as pandas' ``display`` options allow."""
    import pandas as pd

    def option(name: str) -> Any:
        return pd.get_option(f"display.{name}")

    height, width = frame.shape
    rows = _kept(height, option("max_rows"), option("min_rows"))
    columns = _kept(width, option("max_columns"))
    limit = option("max_colwidth") or TITLE_LIMIT
    index = _column(frame.index.to_series(), frame.index.name, rows, limit)
    shown = [
        [Cell("…", "gap")] * len(rows) if at is None else _column(frame.iloc[:, at], frame.columns[at], rows, limit)
        for at in columns
    ]
    cut = None in rows or None in columns
    dimensions = option("show_dimensions")
    return render(
        "frame.html",
        name=str(frame.index.name or ""),
        heads=[("…", "gap") if at is None else (str(frame.columns[at]), _style(frame.iloc[:, at])) for at in columns],
        rows=[(index[at], [column[at] for column in shown]) for at in range(len(rows))],
        empty="" if height else "no rows",
        size=f"{height} rows × {width} columns" if dimensions is True or (dimensions == "truncate" and cut) else "",
    )


def _kept(count: int, most: int | None, cut_to: int | None = None) -> Sequence[int | None]:
    """Return the places that are shown, with ``None`` for those left out, as pandas cuts."""
    if not most or count <= most:
        return range(count)
    keep = min(cut_to, most) if cut_to else most
    first, last = keep - keep // 2, keep // 2
    return [*range(first), None, *range(count - last, count)]


def _column(series: pd.Series, name: Any, rows: Sequence[int | None], limit: int) -> list[Cell]:
    places = [at for at in rows if at is not None]
    values = iter(series.iloc[places].tolist())
    style = _style(series)
    return [Cell("…", "gap") if at is None else _cell(next(values), str(name), style, limit) for at in rows]


def _style(series: pd.Series) -> str:
    import pandas as pd

    kinds = pd.api.types
    if kinds.is_bool_dtype(series.dtype):
        return ""
    return "num" if kinds.is_numeric_dtype(series.dtype) or kinds.is_timedelta64_dtype(series.dtype) else ""


def _cell(value: Any, name: str, style: str, limit: int) -> Cell:
    import pandas as pd

    if pd.api.types.is_scalar(value) and pd.isna(value):
        return Cell("", style)
    if pd.api.types.is_bool(value):
        word = "yes" if value else "no"
        return Cell("", style, mark=mark_of("passed" if value else "failed", word)) if name in VERDICT_COLUMNS else (
            Cell(word, style)
        )  # fmt: skip
    if name in STATE_COLUMNS and value in SIGNS:
        return Cell("", style, mark=mark_of(value))
    code = "code" if name in CODE_COLUMNS or name.endswith("_id") else ""
    text = _text(value)
    short = short_line(text, limit)
    title = short_line(text, TITLE_LIMIT) if short.endswith("…") else ""
    return Cell(short, " ".join(filter(None, (style, code))), title)


def _text(value: Any) -> str:
    import pandas as pd

    match value:
        case pd.Timedelta():
            return span_text(value.total_seconds())
        case pd.Timestamp():
            return value.strftime("%Y-%m-%d %H:%M:%S") + ("Z" if str(value.tz) == "UTC" else "")
        case float():
            return f"{value:.6g}"
        case dict():
            return json.dumps(value, ensure_ascii=False, default=str) if value else ""
        case tuple() | list():
            return ", ".join(str(one) for one in value)
    return str(value)
