"""Which rule or earlier yes fits a question about credentials, and until when it holds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from harness_nb.orchestrator.standing import Wish, covers, rule_for
from harness_nb.protocol.files import Config
from harness_nb.protocol.grants import GrantRecord, GrantRule, moment_until

pytestmark = pytest.mark.row(2)

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


def wish(service: str = "postgres", context: str | None = None, asked: tuple[str, ...] = (), **more: Any) -> Wish:
    return Wish(service, context, asked, **{"session_id": "s1", "plan_id": "01-01", "run_id": "r1", **more})


def rule(do: str, service: str = "postgres", **more: Any) -> GrantRule:
    return GrantRule.model_validate({"service": service, "do": do, **more})


def grant(**more: Any) -> GrantRecord:
    common = {"id": "g", "service": "postgres", "session_id": "s1", "plan_id": "01-01", "run_id": "r1", "actor": "ann"}
    return GrantRecord.model_validate({**common, "door": "cli", "granted_at": NOW - timedelta(hours=1), **more})


@pytest.mark.parametrize(
    ("given", "asked", "fits"),
    [
        (rule("allow"), wish(), True),
        (rule("allow", "Postgres"), wish("POSTGRES"), True),
        (rule("allow"), wish("redis"), False),
        (rule("allow"), wish(context="production"), False),
        (rule("deny"), wish(context="production"), True),
        (rule("ask"), wish(context="production"), True),
        (rule("allow", context="staging"), wish(context="staging"), True),
        (rule("allow", context="eu staging"), wish(context="staging-eu"), True),
        (rule("allow", context="staging"), wish(context="pre-staging"), False),
        (rule("allow", context="staging"), wish(), False),
        (rule("allow", context="*"), wish(context="production"), True),
        (rule("deny", "*", context="production"), wish("stripe", "production"), True),
        (rule("deny", "*", context="production"), wish("stripe"), False),
        (rule("allow", plan="01-01"), wish(), True),
        (rule("allow", plan="01-02"), wish(), False),
        (rule("allow", until=NOW), wish(), False),
        (rule("allow", until=NOW + timedelta(seconds=1)), wish(), True),
        (rule("deny", until=NOW), wish(), True),
    ],
)
def test_a_rule_fits_by_service_context_plan_and_time(given: GrantRule, asked: Wish, fits: bool) -> None:
    """An ``allow`` without a context is as strict as a lookup; ``ask`` and ``deny`` hold for every context."""
    assert (rule_for(asked, [given], NOW) is not None) is fits


def test_the_first_rule_that_fits_decides() -> None:
    rules = [rule("deny", context="production"), rule("allow", context="*")]
    found = [rule_for(wish(context=context), rules, NOW) for context in ("production", "staging")]
    assert [one.do for one in found if one] == ["deny", "allow"]


@pytest.mark.parametrize(
    ("given", "asked", "covered"),
    [
        (grant(), wish(), True),
        (grant(), wish(session_id="s2"), False),
        (grant(scope="plan"), wish(session_id="s2"), True),
        (grant(scope="plan"), wish(session_id="s2", plan_id="01-02"), False),
        (grant(scope="plan", plan_id=None), wish(plan_id=None), False),
        (grant(scope="run"), wish(session_id="s2", plan_id="01-02"), True),
        (grant(scope="run"), wish(session_id="s2", run_id="r2"), False),
        (grant(scope="run", run_id=None), wish(run_id=None), False),
        (grant(scope="project"), wish(session_id="s9", plan_id=None, run_id=None), True),
        (grant(until=NOW), wish(), False),
        (grant(until=NOW + timedelta(seconds=1)), wish(), True),
        (grant(revoked_at=NOW), wish(), False),
        (grant(context="staging"), wish(), False),
        (grant(), wish(context="production"), False),
        (grant(context="staging"), wish(context="Staging"), True),
        (grant(service="redis"), wish(), False),
        (grant(asked=("PGUSER",), env_vars=("PGUSER",)), wish(asked=("PGUSER",)), True),
        (grant(asked=("PGUSER",), env_vars=("PGUSER",)), wish(asked=("PGUSER", "PGPASSWORD")), False),
        (grant(asked=("PGUSER",), env_vars=("PGUSER",)), wish(), False),
        (grant(env_vars=("PGUSER", "PGPASSWORD")), wish(asked=("PGUSER",)), True),
        (grant(env_vars=("PGUSER", "PGPASSWORD")), wish(asked=("PGHOST",)), False),
    ],
)
def test_a_yes_covers_what_was_asked_then_and_no_more(given: GrantRecord, asked: Wish, covered: bool) -> None:
    assert covers(given, asked, NOW) is covered


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (timedelta(hours=2), NOW + timedelta(hours=2)),
        ("90m", NOW + timedelta(minutes=90)),
        ("1.5 h", NOW + timedelta(minutes=90)),
        ("1d", NOW + timedelta(days=1)),
        ("2026-05-05T01:00+02:00", datetime(2026, 5, 4, 23, 0, tzinfo=UTC)),
        (datetime(2026, 5, 4, 14, 0, tzinfo=UTC), datetime(2026, 5, 4, 14, 0, tzinfo=UTC)),
    ],
)
def test_until_is_said_as_people_say_it(said: Any, meant: datetime) -> None:
    assert moment_until(said, NOW) == meant


def test_a_time_of_day_is_the_next_one_on_the_clock_here() -> None:
    here = NOW.astimezone()
    for minutes in (-30, 30):
        said = (here + timedelta(minutes=minutes)).strftime("%H:%M")
        found = moment_until(said, NOW)
        assert found.astimezone().strftime("%H:%M") == said
        assert NOW < found <= NOW + timedelta(days=1, hours=1)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [("soon", "'soon' is no moment; give a time of day"), ("25:00", "no moment"), (NOW - timedelta(1), "has passed")],
)
def test_a_moment_that_cannot_be_is_a_sentence(wrong: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        moment_until(wrong, NOW)


def test_a_day_in_the_settings_counts_to_its_end_where_they_were_written() -> None:
    import yaml

    [day] = Config.model_validate(
        yaml.safe_load("grants: [{service: redis, do: allow, until: 2026-05-04}]")
    ).grants  # fmt: skip
    assert day.until is not None
    assert day.until.astimezone().strftime("%F %T") == "2026-05-04 23:59:59"
