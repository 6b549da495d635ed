"""The manifest: which checks judge something.

It is read so that one bad check never costs the others: what cannot be typed becomes an ``UnusableCheck``,
which keeps the raw data and the sentence that says what is wrong, and never passes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Self

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    SerializeAsAny,
    ValidationError,
    model_serializer,
    model_validator,
)

from harness_nb.errors import InvalidCheckError, UnknownCheckTypeError
from harness_nb.protocol.base import WireModel, problems_of
from harness_nb.protocol.check_reading import parse_check
from harness_nb.protocol.checks import CheckSpec
from harness_nb.protocol.plans import UNREADABLE_CHECK


class UnusableCheck(CheckSpec):
    """A check that could not be read: the raw data, and a sentence in ``problem``. It never passes."""

    type: str = "unknown"
    raw: Any = None
    problem: str

    @model_serializer
    def _as_it_was(self) -> Any:
        return self.raw


def _read_check(raw: object, fallback_id: str, source: str | None) -> CheckSpec:
    try:
        return parse_check(raw, source or fallback_id)
    except (UnknownCheckTypeError, InvalidCheckError) as error:
        fields = raw if isinstance(raw, Mapping) else {}
        problem = str(error)
        if fields.get("type") == UNREADABLE_CHECK and fields.get("description"):
            at = f" ({source})" if source else ""
            problem = f"Could not run{at}: {fields['description']}."
        return UnusableCheck(
            id=str(fields.get("id") or fallback_id),
            type=str(fields.get("type") or "unknown"),
            critical=fields.get("critical") is True,
            raw=raw,
            problem=problem,
        )


def _read_checks(value: object, info: Any) -> object:
    if value is None:
        return ()
    if not isinstance(value, list | tuple):
        return (_unusable_field(info.field_name, "it must be a list of checks", None, value),)
    return tuple(_read_check(raw, f"{info.field_name}[{index}]", None) for index, raw in enumerate(value))


def _unusable_field(name: str, problem: str, source: str | None, raw: object = None) -> UnusableCheck:
    at = f" ({source})" if source else ""
    return UnusableCheck(
        id=name, type="manifest", raw=raw, problem=f"The manifest's {name} cannot be used{at}: {problem}."
    )


Checks = Annotated[tuple[SerializeAsAny[CheckSpec], ...], BeforeValidator(_read_checks)]


class Manifest(WireModel):
    """Which checks judge something: ``must_pass`` decides, ``should_pass`` is run and reported.

    ``timeout`` is the time limit of each check that names none, in milliseconds.
    """

    model_config = ConfigDict(defer_build=True)

    must_pass: Checks = ()
    should_pass: Checks = ()
    api_base_url: str | None = None
    ui_base_url: str | None = None
    timeout: float | None = Field(default=None, gt=0)

    @model_validator(mode="before")
    @classmethod
    def _accept_list(cls, data: object) -> object:
        return {"must_pass": data} if isinstance(data, list | tuple) else data

    @property
    def checks(self) -> tuple[tuple[CheckSpec, bool], ...]:
        """All checks in their order, each with whether it is required."""
        return (*((spec, True) for spec in self.must_pass), *((spec, False) for spec in self.should_pass))

    @property
    def duplicate_ids(self) -> frozenset[str]:
        """The ids that more than one check of this manifest has."""
        counts = Counter(spec.id for spec, _ in self.checks)
        return frozenset(name for name, count in counts.items() if count > 1)

    def with_must_pass(self, *more: CheckSpec) -> Self:
        """Return a copy with more required checks at the end."""
        return self.model_copy(update={"must_pass": (*self.must_pass, *more)})


Locate = Callable[[str, int], str | None]
"""Says where a check stands, as ``file:line``, from its section (``must_pass``) and its index there."""


def parse_manifest(raw: object, source: str | Locate | None = None) -> Manifest:
    """Return the manifest in a mapping (a plan's whole frontmatter will do) or a list of required checks.

    What cannot be used becomes an ``UnusableCheck`` among the required ones, so that the rest still runs.
    """
    if isinstance(raw, Manifest):
        return raw
    if isinstance(raw, list | tuple):
        raw = {"must_pass": raw}
    if not isinstance(raw, Mapping):
        where = source if isinstance(source, str) else None
        return Manifest(must_pass=(_unusable_field("content", "it must be a mapping", where, raw),))
    return _manifest_from(raw, source)


def _manifest_from(raw: Mapping[Any, Any], source: str | Locate | None) -> Manifest:
    manifest = Manifest()
    troubles: list[UnusableCheck] = []
    for name, field in Manifest.model_fields.items():
        value = raw.get(name, raw.get(field.alias or name))
        where = source if isinstance(source, str) else source(name, 0) if source else None
        if value is None:
            continue
        if name in ("must_pass", "should_pass"):
            if not isinstance(value, list | tuple):
                value = [_unusable_field(name, "it must be a list of checks", where, value)]
            value = tuple(
                _read_check(item, f"{name}[{index}]", source(name, index) if callable(source) else where)
                for index, item in enumerate(value)
            )
        try:
            part = Manifest.model_validate({name: value})
        except ValidationError as error:
            problems = problems_of(error).partition(": ")[2]
            troubles.append(_unusable_field(name, problems, where, value))
        else:
            manifest = manifest.model_copy(update={name: getattr(part, name)})
    return manifest.with_must_pass(*troubles) if troubles else manifest
