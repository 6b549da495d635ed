"""``config.yaml``: read with a clear error, written once with comments for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from harness_nb.errors import UnreadableFileError
from harness_nb.protocol.base import problems_of
from harness_nb.protocol.files import Config
from harness_nb.store.atomic import write_text

if TYPE_CHECKING:
    from harness_nb.store.layout import Layout

DEFAULT = """\
# Settings of this project for harness-nb. Every line here has an effect; what is missing has its default.
version: 1

maxParallelExecutions: 2   # plans that run at the same time
maxParallelResearch: 2     # of them, plans of type "research" besides
verificationRequired: true # a plan is complete once its checks passed
autoCommit: false          # commit a plan's files with git once it is verified
phaseOrder: implied        # implied: a phase waits for the phases before it · declared: only depends_on counts
maxRetries: 2              # further tries after a failure that can be recovered from
retryDelay: 2              # seconds before the first further try, doubled each time

# Which answers come by themselves. The first policy that fits a question wins; without one, a person is asked.
# policies:
#   - {kind: decision, after: 600, do: answer}           # after ten minutes: the recommended option
#   - {kind: credentials, service: postgres, do: approve}
#   - {kind: verification, plan: 03-02, do: wait}
policies: []
"""


def read_config(layout: Layout) -> Config:
    """Return the project's settings, the defaults where there are none.

    Raises: UnreadableFileError, with the line.
    """
    try:
        text = layout.config.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return Config()
    except ValueError as error:
        raise UnreadableFileError(layout.config, str(error)) from None
    import yaml

    try:
        return Config.model_validate(yaml.safe_load(text) or {})
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or "it is not YAML"
        raise UnreadableFileError(layout.config, reason, mark.line + 1 if mark else None) from None
    except ValidationError as error:
        raise UnreadableFileError(layout.config, problems_of(error), _line_of(error, text)) from None


def _line_of(error: ValidationError, text: str) -> int | None:
    """Return the line of the first setting that cannot be used."""
    import yaml

    node = yaml.compose(text, Loader=yaml.SafeLoader)
    line = None
    for part in error.errors(include_url=False, include_input=False, include_context=False)[0]["loc"]:
        if isinstance(node, yaml.MappingNode):
            found = next((pair for pair in node.value if pair[0].value == part), None)
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
    return line


def write_default_config(layout: Layout) -> None:
    """Write the commented defaults, unless there are settings already."""
    if not layout.config.exists():
        write_text(layout.config, DEFAULT)
