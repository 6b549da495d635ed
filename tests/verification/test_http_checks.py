"""The check that asks an HTTP API, against a real server on loopback."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from harness_nb.verification import VerificationEngine
from harness_nb.verification.http import difference, join_url

if TYPE_CHECKING:
    from pathlib import Path

    from tests.verification.conftest import Verify

pytestmark = [pytest.mark.anyio, pytest.mark.row(5)]


async def test_status_headers_and_body_all_pass(api: str, verify: Verify) -> None:
    result = await verify(
        "api_response",
        method="get",
        url="/tasks",
        expects={"status": 200, "headers": {"content-type": "application/json"}, "body": {"tasks": [], "count": 0}},
        engine={"api_base_url": f"{api}/"},
    )
    assert result.passed, result.error
    assert (result.output or "").startswith("HTTP 200 OK (application/json; charset=utf-8)\n{")


@pytest.mark.parametrize(
    ("expects", "why"),
    [
        ({"status": 201}, "the status is 200 and not 201"),
        ({"headers": {"X-Missing": "1"}}, "there is no header X-Missing"),
        ({"headers": {"Content-Type": "text/html"}}, "and not 'text/html'"),
        ({"body": {"count": 0}}, "the body also has 'tasks'"),
        ({"body": {"count": 1}, "bodyMatch": "partial"}, "the body.count is 0 and not 1"),
        ({"body": {"count": False}, "bodyMatch": "partial"}, "the body.count is 0 and not false"),
        ({"body": "nope", "bodyMatch": "partial"}, "the body lacks 'nope'"),
        ({"body": "nope.*", "bodyMatch": "regex"}, "no match of 'nope.*'"),
        ({"body": "nope"}, "the body is not 'nope'"),
        ({"status": 500, "body": "x"}, "the status is 200 and not 500; the body is not 'x'"),
    ],
)
async def test_each_part_that_differs_is_named(expects: dict[str, Any], why: str, api: str, verify: Verify) -> None:
    result = await verify("api_response", method="GET", url=f"{api}/tasks", expects=expects)
    assert not result.passed
    assert why in (result.error or "")
    assert "/tasks" in (result.error or "")


@pytest.mark.parametrize(
    "expects",
    [
        {"body": "hello\nworld 42\n"},
        {"body": "world", "bodyMatch": "partial"},
        {"body": r"^world \d+$", "bodyMatch": "regex"},
        {"headers": {"Content-Type": "text/plain; charset=utf-8"}},
    ],
)
async def test_text_is_compared_exactly_in_part_and_by_pattern(
    expects: dict[str, Any], api: str, verify: Verify
) -> None:
    assert (await verify("api_response", method="GET", url=f"{api}/text", expects=expects)).passed
    body = await verify("api_response", method="GET", url=f"{api}/text", expects={"body": {"a": 1}})
    assert "the body is not JSON" in (body.error or "")


async def test_bodies_and_headers_are_sent(api: str, verify: Verify) -> None:
    for body, kind, sent in (({"a": 1}, "application/json", '{"a": 1}'), ("a=1", "text/plain; charset=utf-8", "a=1")):
        expects = {"body": {"type": kind, "body": sent}}
        result = await verify("api_response", method="POST", url=f"{api}/echo", body=body, expects=expects)
        assert result.passed, result.error
    result = await verify(
        "api_response",
        method="GET",
        url=f"{api}/headers",
        headers={"X-Key": 5},
        expects={"body": {"X-Key": "5"}, "bodyMatch": "partial"},
    )
    assert result.passed, result.error


async def test_requests_to_one_server_go_in_the_manifests_order(api: str, project: Path) -> None:
    def post(n: int) -> dict[str, Any]:
        return {
            "id": f"post-{n}",
            "type": "api_response",
            "method": "POST",
            "url": "/tasks",
            "body": {"title": n},
            "expects": {"body": {"id": n}},
        }

    manifest = {"must_pass": [post(n) for n in range(1, 9)], "api_base_url": api}
    report = await VerificationEngine(project, max_concurrent=8).verify(manifest)
    assert report.passed, str(report)


async def test_redirects_are_seen_and_not_followed(api: str, verify: Verify) -> None:
    expects = {"status": 301, "headers": {"Location": "/text"}}
    assert (await verify("api_response", method="GET", url=f"{api}/moved", expects=expects)).passed


async def test_a_proxy_is_not_asked_about_this_machine(
    api: str, verify: Verify, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert (await verify("api_response", method="GET", url=f"{api}/text", expects={"status": 200})).passed


async def test_an_answer_that_does_not_come_is_ended_by_the_time_limit(api: str, verify: Verify) -> None:
    result = await verify("api_response", method="GET", url=f"{api}/slow", expects={"status": 200}, timeout=200)
    assert "time limit of 0.2 s" in (result.error or "")


@pytest.mark.parametrize(
    ("url", "expects", "why"),
    [
        ("http://u:secret@127.0.0.1:1/x", {"status": 200}, "Nothing answers at http://127.0.0.1:1/x"),
        ("/x", {"status": 200}, "there is no api_base_url"),
        ("ftp://x/y", {"status": 200}, "is no http or https URL"),
        ("http://127.0.0.1:1/x", {}, "expects names nothing to compare"),
    ],
)
async def test_what_cannot_be_asked_is_not_a_pass(url: str, expects: dict[str, Any], why: str, verify: Verify) -> None:
    result = await verify("api_response", method="GET", url=url, expects=expects)
    assert not result.passed
    assert (result.error or "").startswith("Could not run: ")
    assert why in (result.error or "")
    assert "secret" not in (result.error or "")


async def test_a_pattern_must_be_text(api: str, verify: Verify) -> None:
    expects = {"body": {"a": "x"}, "bodyMatch": "regex"}
    result = await verify("api_response", method="GET", url=f"{api}/text", expects=expects)
    assert "bodyMatch regex needs a text" in (result.error or "")


@pytest.mark.parametrize(
    ("wanted", "given", "partial", "same"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, True, True),
        ({"a": 1}, {"a": 1, "b": 2}, False, False),
        ([{"a": 1}], [{"b": 2}, {"a": 1, "c": 3}], True, True),
        ([{"a": 4}], [{"b": 2}, {"a": 1}], True, False),
        ([1, 2], [2, 1], False, False),
        ([1, 2], [1, 2, 3], False, False),
        ({"a": {"b": [1]}}, {"a": {"b": [1, 2]}}, True, True),
        (1, 1.0, False, True),
        (1, True, False, False),
        (None, {}, False, False),
        ({}, {"a": 1}, True, True),
        ({}, [], True, False),
    ],
)
def test_difference(wanted: object, given: object, partial: bool, same: bool) -> None:
    assert (difference(wanted, given, partial=partial) is None) == same


def test_urls_are_joined_below_the_base() -> None:
    assert join_url("/tasks?a=1", "http://h:1/api/v1/", "x") == "http://h:1/api/v1/tasks?a=1"
    assert join_url("tasks", "http://h:1", "x") == "http://h:1/tasks"
    assert join_url("https://other/x", "http://h:1", "x") == "https://other/x"
