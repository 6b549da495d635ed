"""What people see as HTML: templates and their style, in files; Python only fills them in.

Everything is escaped unless a template says otherwise. Colours are JupyterLab's own variables with a fallback each, so
that light and dark both work, and a page without JupyterLab does as well.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment

STYLES = ("view.css", "plots.css", "report.css")


def render(name: str, /, **values: Any) -> str:
    """Return a template of this folder, filled in; values are escaped."""
    return _environment().get_template(name).render(values).strip()


@cache
def text_of(name: str) -> str:
    """Return a file of this folder as it is."""
    return files(__name__).joinpath(name).read_text(encoding="utf-8")


@cache
def style() -> str:
    """Return the style of all that can stand in a view, without comments."""
    whole = "\n".join(text_of(name) for name in STYLES)
    return re.sub(r"/\*.*?\*/\s*", "", whole, flags=re.DOTALL)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("harness_nb", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
