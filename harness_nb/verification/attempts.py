"""Running one check to its result: who does it, how often, for how long. Nothing here raises for a check."""

from __future__ import annotations

import inspect
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from harness_nb.errors import CheckCouldNotRunError
from harness_nb.protocol.check_reading import unknown_fields
from harness_nb.protocol.checks import BrowserCheck, CheckSpec, HumanCheck
from harness_nb.protocol.manifest import Manifest, UnusableCheck
from harness_nb.protocol.report import CheckResult
from harness_nb.verification.http import join_url
from harness_nb.verification.registry import REGISTERED, CheckContext, Outcome
from harness_nb.verification.shortening import Redact, current_redact, redacted

if TYPE_CHECKING:
    from harness_nb.protocol.base import VerifiedBy

Verdict = bool | tuple[bool, str] | CheckResult
Ask = Callable[[CheckSpec], Verdict | Awaitable[Verdict]]
"""Judges one check: by a browser of the caller's, or by a person. It may be async; if not, it runs in a thread."""

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 2.0


@dataclass(frozen=True)
class Judges:
    """Who judges what the engine cannot judge by itself, and what is taken out of every text."""

    browser: Ask | None = None
    person: Ask | None = None
    redact: Redact | None = None


@dataclass(frozen=True)
class Job:
    """One check of a manifest; ``refusal`` says why it must not be run at all, if so."""

    spec: CheckSpec
    required: bool
    time_limit: float | None
    refusal: str | None


def jobs_of(manifest: Manifest) -> list[Job]:
    """Return a manifest's checks in their order, each with its time limit and why it may not run."""
    twice = manifest.duplicate_ids
    return [
        Job(spec, required, _time_limit(spec, manifest), _refusal(spec, twice)) for spec, required in manifest.checks
    ]


def _time_limit(spec: CheckSpec, manifest: Manifest) -> float | None:
    """Return seconds for one try: the check's own, the manifest's or its type's; a person has no limit."""
    default = type(spec).default_timeout
    if default is not None and manifest.timeout is not None:
        default = manifest.timeout
    milliseconds = spec.timeout or default
    return None if milliseconds is None else milliseconds / 1000


def _refusal(spec: CheckSpec, twice: frozenset[str]) -> str | None:
    if isinstance(spec, UnusableCheck):
        return spec.problem
    if spec.id in twice:
        return f"More than one check has the id {spec.id!r}. Give each its own."
    unknown = unknown_fields(spec)
    if not unknown:
        return None
    return f"Could not run: {'; '.join(map(str, unknown))}. Correct or remove what this check does not have."


async def judge(job: Job, context: CheckContext, judges: Judges) -> CheckResult:
    """Return the result of one check, after as many tries as it is given."""
    started = time.monotonic()
    refusal = job.refusal
    token = current_redact.set(judges.redact)
    try:
        outcome, by = (Outcome(False, refusal), None) if refusal else await _try_until_passed(job, context, judges)
    finally:
        current_redact.reset(token)
    return make_result(job, outcome, judges.redact, duration=(time.monotonic() - started) * 1000, verified_by=by)


def make_result(
    job: Job,
    outcome: Outcome,
    redact: Redact | None,
    *,
    duration: float = 0.0,
    verified_by: VerifiedBy | None = None,
    skipped: bool = False,
) -> CheckResult:
    """Return a result in which every text has passed through ``redact``."""
    spec = job.spec
    return CheckResult(
        spec_id=spec.id,
        type=spec.type,
        passed=outcome.passed,
        error=_redacted(outcome.error, redact),
        output=_redacted(outcome.output, redact),
        notes=_redacted(outcome.notes, redact),
        description=spec.description,
        duration=round(duration, 3),
        timestamp=datetime.now(UTC),
        verified_by=verified_by or type(spec).verified_by,
        required=job.required,
        skipped=skipped,
    )


def _redacted(text: str | None, redact: Redact | None) -> str | None:
    return None if text is None else redacted(text, redact)


async def _try_until_passed(job: Job, context: CheckContext, judges: Judges) -> tuple[Outcome, VerifiedBy | None]:
    tries = job.spec.retries + 1
    for number in range(1, tries + 1):
        outcome, by = await _try_once(job, context, judges)
        if outcome.passed or number == tries:
            break
        await anyio.sleep(min(FIRST_PAUSE * 2 ** (number - 1), LONGEST_PAUSE))
    if tries > 1:
        count = f"Passed at try {number} of {tries}." if outcome.passed else f"None of {tries} tries passed."
        outcome = replace(outcome, notes=f"{outcome.notes} {count}" if outcome.notes else count)
    return outcome, by


async def _try_once(job: Job, context: CheckContext, judges: Judges) -> tuple[Outcome, VerifiedBy | None]:
    limit = job.time_limit
    try:
        with anyio.move_on_after(limit):
            return await _run(job.spec, context, judges)
    except CheckCouldNotRunError as error:
        return Outcome(False, f"Could not run: {error}"), None
    except (Exception, SystemExit) as error:  # a check may be somebody's function, and exit() no end of this process
        return Outcome(False, f"Could not run: {type(error).__name__}: {error}"), None
    return Outcome(False, f"It was not done within its time limit of {limit:g} s and was ended."), None


async def _run(spec: CheckSpec, context: CheckContext, judges: Judges) -> tuple[Outcome, VerifiedBy | None]:
    registered = REGISTERED.get(spec.type)
    if registered:
        return await registered.function(spec, context), None
    if isinstance(spec, BrowserCheck):
        if judges.browser is None:
            raise CheckCouldNotRunError(
                "this check needs a browser, and nothing here drives one. Make it a check that a person "
                "judges (such as visual_quality), or pass on_playwright_required=… to a VerificationEngine of your own."
            )
        whole = spec.model_copy(update={"url": join_url(spec.url, context.ui_base_url, "ui_base_url")})
        return await _ask(judges.browser, whole, "on_playwright_required")
    if isinstance(spec, HumanCheck):
        if judges.person is None:
            raise CheckCouldNotRunError(
                "this check needs a person. Pass on_human_required=… to the engine, a function that asks one."
            )
        return await _ask(judges.person, spec, "on_human_required")
    raise CheckCouldNotRunError(f"nothing in this engine runs checks of the type {spec.type!r}.")


async def _ask(ask: Ask, spec: CheckSpec, name: str) -> tuple[Outcome, VerifiedBy | None]:
    """Ask the caller's function, in a thread unless it is async: a person who thinks must not stop the loop."""
    if inspect.iscoroutinefunction(ask):
        verdict = await ask(spec)
    else:
        verdict = await anyio.to_thread.run_sync(ask, spec, abandon_on_cancel=True)
        if inspect.isawaitable(verdict):
            verdict = await verdict
    return _read_verdict(verdict, name)


def _read_verdict(verdict: object, name: str) -> tuple[Outcome, VerifiedBy | None]:
    match verdict:
        case CheckResult(skipped=True):
            return Outcome(False, verdict.error or f"{name} skipped it."), verdict.verified_by
        case CheckResult():
            error = None if verdict.passed else verdict.error or f"{name} judged that it does not pass."
            return Outcome(verdict.passed, error, verdict.output, verdict.notes), verdict.verified_by
        case bool():
            return Outcome.of(verdict, f"{name} judged that it does not pass."), None
        case (bool() as passed, str() as notes):
            error = f"Not accepted: {notes}" if notes else f"{name} judged that it does not pass."
            return Outcome.of(passed, error, notes=notes or None), None
    raise CheckCouldNotRunError(
        f"{name} returned {type(verdict).__name__}; it must return a bool, (bool, notes) or a CheckResult."
    )
