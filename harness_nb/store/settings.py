"""``config.yaml``: read with a clear error, written once with comments for people."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from pydantic.alias_generators import to_camel

from harness_nb.errors import HarnessError, OutOfDescriptorsError, UnreadableFileError, UnwritableFolderError
from harness_nb.protocol.base import problems_of
from harness_nb.protocol.credentials import SOURCE_GROUP, SOURCES, Service
from harness_nb.protocol.files import CHECKPOINT_TYPES, Config, NotifyAddress, Policy
from harness_nb.protocol.grants import GrantRule
from harness_nb.store.atomic import write_text
from harness_nb.store.troubles import NO_DESCRIPTORS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import yaml

    from harness_nb.protocol.base import WireModel
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
maxOutputMegabytes: 1024   # of what a session prints, so much is kept, the newest (null: all)
deliver: reference         # credentials reach a worker as: reference (commands that have them) · message (the values)
credentialSources: [files] # asked in this order: files · environment · keyring · a source that a package registers
quietAfter: 300            # seconds without a word or output, after which a session is shown as quiet; 0: never

# Who gets credentials: the first rule that fits a service and its context decides, before all policies and --yes.
# allow (unasked; without a context only where none is asked for) · ask (a person, always) · deny (whoever says yes).
# grants:
#   - {service: postgres, context: staging, do: allow, until: 2026-12-31}
#   - {service: redis, plan: 03-02, do: allow}           # for the sessions of one plan
#   - {service: stripe, do: deny}
#   - {service: "*", context: production, do: ask}
grants: []

# Services whose credentials are known beyond the twelve, or in place of one. variables: what a worker gets who names
# none; stems: the words in the names of its .env files (without them, its own name). No values belong here.
# services:
#   acme: {variables: [ACME_TOKEN, ACME_URL], stems: [acme]}
services: {}

# Which answers come by themselves. The first policy that fits a question wins; without one, a person is asked.
# It fits by its kind, service, plan and tool, and by its pattern: a regular expression searched in the question's text.
# What it does: wait (for a person) · remind (once) · answer (with its "answer", else the recommended option) ·
# approve · abort (the task).
# "after" is in seconds. Once somebody sees such a question, its deadline is kept with it: a restart changes nothing
# of that, nor does what you change here, which is for questions to come.
# A policy without "after" acts at once where nobody is there (in CI, say), and else leaves the question to the person.
# policies:
#   - {kind: decision, after: 600, do: answer}           # after ten minutes: the recommended option
#   - {kind: decision, pattern: "(?i)colou?r", after: 60, do: answer, answer: blue}
#   - {kind: credentials, service: postgres, do: approve}
#   - {kind: verification, plan: 03-02, do: wait}
#   - {kind: action, after: 3600, do: remind}
policies: []

# Where you are told, besides board and page: addresses of the apprise package (pip install 'harness-nb[notify]').
# Keep tokens out of this file: ${NAME} is a variable of the environment that the plans are run from.
# events: question (no policy settles it) · reminder · failed (for good) · ended (a run); without them, all four.
# notify:
#   - ${SLACK_URL}
#   - {url: "mailto://me:${MAIL_PASSWORD}@example.com", events: [question, failed]}
notify: []
"""


def read_config(layout: Layout) -> Config:
    """Return the project's settings, the defaults where there are none.

    Raises: UnreadableFileError, with the line where there is one; UnwritableFolderError, OutOfDescriptorsError.
    """
    try:
        text = layout.config.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return Config()
    except NotADirectoryError:
        raise UnwritableFolderError(layout.folder, "a file of this name is in the way") from None
    except OSError as error:
        if error.errno in NO_DESCRIPTORS:  # that says nothing of the file, and nobody should remove it for that
            raise OutOfDescriptorsError from None
        raise UnreadableFileError(layout.config, error.strerror or str(error)) from None
    except ValueError as error:
        raise UnreadableFileError(layout.config, str(error)) from None
    import yaml

    try:
        content = yaml.safe_load(text) or {}
        if not isinstance(content, dict):
            raise UnreadableFileError(
                layout.config, "the whole: it is no list of names with values, such as version: 1"
            )
        return Config.model_validate(content)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise UnreadableFileError(layout.config, _said_plainly(error), mark.line + 1 if mark else None) from None
    except ValidationError as error:
        raise UnreadableFileError(layout.config, problems_of(error), _line_of(error, text)) from None


class CurrentConfig:
    """The settings as they are on disk, read again only when the file has changed; the last that could be read."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._read: tuple[int, int] | None = None
        self._config = Config()

    def __call__(self) -> Config:
        """Return the settings of now."""
        try:
            found = self._layout.config.stat()
            if self._read != (found.st_mtime_ns, found.st_size):
                self._config = read_config(self._layout)
                self._read = found.st_mtime_ns, found.st_size
        except (OSError, HarnessError):  # whoever needs them says what is wrong there
            pass
        return self._config

    def required(self) -> Config:
        """Return the settings of now, for what must not be done by defaults where there are others.

        Raises: what ``read_config`` does, where they could never be read.
        """
        config = self()
        return config if self._read is not None else read_config(self._layout)


def unknown_settings(layout: Layout) -> list[str]:
    """Return a line for each thing in the settings that has no effect: keys and kinds of policies nobody knows.

    Settings that cannot be read have none; ``read_config`` says what is wrong there.
    """
    import yaml

    try:
        node = yaml.compose(layout.config.read_text(encoding="utf-8-sig"), Loader=yaml.SafeLoader)
    except (OSError, ValueError, yaml.YAMLError):
        return []
    place = f"{layout.config.parent.name}/{layout.config.name}"
    return [f"{place}:{line}: {text}" for line, text in sorted(_without_effect(node))]


def _without_effect(node: Any) -> Iterator[tuple[int, str]]:
    yield from _unknown_keys(node, Config, "setting")
    policies = _value_of(node, "policies")
    for policy in getattr(policies, "value", ()) if _is_list(policies) else ():
        yield from _unknown_keys(policy, Policy, "key of a policy")
        kind = _value_of(policy, "kind")
        known = CHECKPOINT_TYPES.values()
        if kind is not None and isinstance(kind.value, str) and kind.value not in (*known, "null", "~", ""):
            yield kind.start_mark.line + 1, f"unknown kind of policy {kind.value!r}{_meant(kind.value, known)}"
    grants = _value_of(node, "grants")
    for rule in grants.value if _is_list(grants) else ():
        yield from _unknown_keys(rule, GrantRule, "key of a grant")
    yield from _unknown_sources(_value_of(node, "credentialSources") or _value_of(node, "credential_sources"))
    for _, service in _pairs(_value_of(node, "services")):
        yield from _unknown_keys(service, Service, "key of a service")
    addresses = _value_of(node, "notify")
    for address in getattr(addresses, "value", ()) if _is_list(addresses) else ():
        own = [str(one.alias) for one in NotifyAddress.model_fields.values()]
        for key, _ in _pairs(address):
            if key.value not in own:  # it is not repeated: an address with a blank too many is a key as well
                yield key.start_mark.line + 1, f"an address of notify has {' and '.join(own)}, and nothing else"


def _unknown_sources(node: Any) -> Iterator[tuple[int, str]]:
    """Yield the sources of credentials that neither are built in nor come with an installed package."""
    names = [(one, str(one.value)) for one in getattr(node, "value", ()) if _is_list(node)]
    own = [(one, name) for one, name in names if name not in SOURCES]
    if own:
        from importlib.metadata import entry_points

        known = [*SOURCES, *sorted(entry_points(group=SOURCE_GROUP).names)]
        for one, name in own:
            if name not in known:
                yield one.start_mark.line + 1, f"unknown source of credentials {name!r}{_meant(name, known)}"


def _unknown_keys(node: Any, model: type[WireModel], what: str) -> Iterator[tuple[int, str]]:
    """Yield the keys of a mapping that a model does not have, and those that are there twice."""
    names = {str(one.alias): name for name, one in model.model_fields.items()}
    seen = set()
    for key, _ in _pairs(node):
        name, line = str(key.value), key.start_mark.line + 1
        if name not in names and name not in names.values():
            yield line, f"unknown {what} {name!r}{_meant(name, names)}"
        elif name in seen:
            yield line, f"{name!r} is here a second time; only the last one counts"
        seen.add(name)


def _meant(word: str, known: Iterable[str]) -> str:
    by_lower = {one.lower(): one for one in known}
    found = difflib.get_close_matches(word.replace("_", "").lower(), by_lower, n=1)
    return f"; did you mean {by_lower[found[0]]!r}?" if found else ""


def _pairs(node: Any) -> list[tuple[Any, Any]]:
    import yaml

    return list(node.value) if isinstance(node, yaml.MappingNode) else []


def _is_list(node: Any) -> bool:
    import yaml

    return isinstance(node, yaml.SequenceNode)


def _value_of(node: Any, key: str) -> Any:
    """Return what a key of a mapping stands for; of two of the same name the last, as YAML has it."""
    return next((value for name, value in reversed(_pairs(node)) if name.value == key), None)


def _said_plainly(error: yaml.YAMLError) -> str:
    problem = str(getattr(error, "problem", None) or "it is not YAML")
    if "'\\t'" in problem:
        return "a tab stands where YAML wants spaces"
    if "<stream end>" in problem or "unexpected end of stream" in problem:
        return "a bracket or a quote is opened and never closed"
    if "mapping values are not allowed" in problem:
        return "a colon stands where there can be none; indent the line as its neighbours, or put the text in quotes"
    return f"it is not YAML ({problem})"


def _line_of(error: ValidationError, text: str) -> int | None:
    """Return the line of the first setting that cannot be used."""
    import yaml

    node: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    line = None
    for part in error.errors(include_url=False, include_input=False, include_context=False)[0]["loc"]:
        if _is_list(node) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
            continue
        found = [(key, value) for key, value in _pairs(node) if to_camel(str(key.value)) == part or key.value == part]
        if not found:
            break
        line, node = found[-1][0].start_mark.line + 1, found[-1][1]
    return line


def write_default_config(layout: Layout) -> None:
    """Write the commented defaults, unless there are settings already."""
    if not layout.config.exists():
        write_text(layout.config, DEFAULT)
