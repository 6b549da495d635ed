"""The twenty-seven checks and the manifest, read from what people and programs write."""

from __future__ import annotations

from typing import Any

import pytest

from harness_nb.errors import InvalidCheckError, UnknownCheckTypeError
from harness_nb.protocol.check_reading import parse_check, unknown_fields
from harness_nb.protocol.checks import CHECK_ADAPTER, CHECK_TYPES, CheckSpec
from harness_nb.protocol.manifest import Manifest, UnusableCheck, parse_manifest

EXAMPLES: list[dict[str, Any]] = [
    {"type": "file_exists", "path": "a.txt"},
    {"type": "file_contains", "path": "a.txt", "pattern": "x+", "regex": True},
    {"type": "file_not_contains", "path": "a.txt", "pattern": "TODO"},
    {"type": "command_succeeds", "command": "true", "cwd": "sub", "env": {"A": "1"}},
    {
        "type": "command_output",
        "command": "ls",
        "expects": "a",
        "regex": True,
        "stream": "combined",
        "cwd": ".",
        "env": {},
    },
    {
        "type": "api_response",
        "method": "POST",
        "url": "/tasks",
        "headers": {"X": "1"},
        "body": {"title": "t"},
        "expects": {"status": 201, "headers": {"Content-Type": "application/json"}, "body": {}, "bodyMatch": "partial"},
    },
    {"type": "build_succeeds", "command": "make", "cwd": "sub"},
    {"type": "tests_pass", "command": "make test", "testPattern": "unit", "cwd": "sub"},
    {"type": "type_check", "tsconfig": "tsconfig.json", "command": "tsc", "cwd": "sub"},
    {"type": "lint_clean", "command": "ruff", "files": ["a.py"], "cwd": "sub"},
    {"type": "json_valid", "path": "a.json", "schema": {"type": "object"}},
    {"type": "env_var_set", "name": "A", "value": "1"},
    {"type": "port_available", "port": 8000, "available": False},
    {"type": "process_running", "process": "x", "running": False},
    {"type": "ui_element_exists", "url": "/", "selector": "#a", "waitTimeout": 100},
    {"type": "ui_element_text", "url": "/", "selector": "#a", "text": "hi", "match": "contains"},
    {"type": "ui_element_visible", "url": "/", "selector": "#a", "visible": False},
    {"type": "ui_element_enabled", "url": "/", "selector": "#a", "enabled": False},
    {"type": "ui_navigation", "url": "/", "clickSelector": "a", "expectUrl": "/b", "urlMatch": "contains"},
    {
        "type": "ui_form_submit",
        "url": "/",
        "fields": [{"selector": "#a", "value": "x", "type": "select"}],
        "submitSelector": "#go",
        "expects": {"url": "/ok", "successSelector": "#ok", "errorSelector": "#no"},
    },
    {"type": "ui_screenshot_match", "url": "/", "baseline": "a.png", "selector": "#a", "threshold": 0.5},
    {
        "type": "ui_no_console_errors",
        "url": "/",
        "actions": [{"type": "click", "selector": "#a"}, {"type": "wait", "timeout": 10}],
        "ignorePatterns": ["favicon"],
    },
    {"type": "ui_accessibility", "url": "/", "rules": ["label"], "minScore": 90},
    {"type": "visual_quality", "target": "/", "aspects": ["spacing"], "reference": "a.png"},
    {"type": "ux_flow", "flow": "login", "steps": ["open"], "expectedOutcome": "inside"},
    {"type": "content_review", "location": "README.md", "criteria": ["short"]},
    {"type": "security_review", "target": "login", "concerns": ["tokens"]},
]


def is_within(part: Any, whole: Any) -> bool:
    if isinstance(part, dict):
        return all(key in whole and is_within(value, whole[key]) for key, value in part.items())
    if isinstance(part, list):
        return len(part) == len(whole) and all(map(is_within, part, whole))
    return bool(part == whole)


def test_there_is_an_example_of_each_of_the_twenty_seven_types() -> None:
    assert [example["type"] for example in EXAMPLES] == list(CHECK_TYPES)
    assert len(CHECK_TYPES) == 27


@pytest.mark.row(5)
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: str(example["type"]))
def test_a_check_comes_back_from_the_wire_as_it_went(example: dict[str, Any]) -> None:
    raw = {"id": "it", "description": "d", "critical": True, "timeout": 5, "retries": 2, **example}
    spec = parse_check(raw)
    assert is_within(raw, spec.to_wire())
    assert parse_check(spec.to_wire()) == spec
    assert CHECK_ADAPTER.validate_json(spec.model_dump_json()) == spec
    assert unknown_fields(spec) == ()


LIMITS = {
    "build_succeeds": 300,
    "tests_pass": 600,
    "api_response": 30,
    "file_exists": 60,
    "ui_element_exists": 60,
    "ux_flow": None,
}


@pytest.mark.parametrize(("check_type", "seconds"), LIMITS.items())
def test_default_time_limits(check_type: str, seconds: float | None) -> None:
    example = next(example for example in EXAMPLES if example["type"] == check_type)
    limit = type(parse_check({"id": "it", **example})).default_timeout
    assert limit == (None if seconds is None else seconds * 1000)


def test_what_yaml_reads_as_numbers_and_booleans_is_text_where_text_is_meant() -> None:
    raw = {"id": 7, "type": "command_output", "command": "x", "expects": 200, "env": {"DEBUG": True, "N": 1}}
    spec = parse_check(raw)
    wire = spec.to_wire()
    assert (wire["id"], wire["expects"], wire["env"]) == ("7", "200", {"DEBUG": "true", "N": "1"})


def test_an_unknown_type_lists_the_known_ones_and_says_where_it_stands() -> None:
    with pytest.raises(
        UnknownCheckTypeError, match=r"'it' \(p\.md:12\) has no known type \('nope'\).*file_exists, .*security_review"
    ):
        parse_check({"id": "it", "type": "nope"}, "p.md:12")
    with pytest.raises(UnknownCheckTypeError, match="names no type"):
        parse_check({"id": "it"})


def test_an_invalid_field_is_named() -> None:
    with pytest.raises(InvalidCheckError, match=r"port_available check 'it' \(p\.md:3\) cannot be used: port: "):
        parse_check({"id": "it", "type": "port_available", "port": "many"}, "p.md:3")
    with pytest.raises(InvalidCheckError, match=r"expects\.status"):
        parse_check({"id": "it", "type": "api_response", "method": "GET", "url": "/", "expects": {"status": "ok"}})
    with pytest.raises(InvalidCheckError, match="pattern"):
        parse_check({"id": "it", "type": "file_contains", "path": "a", "pattern": ""})


def test_unknown_fields_are_kept_and_named_with_the_nearest_known_one() -> None:
    raw = {"id": "it", "type": "api_response", "method": "GET", "url": "/", "expects": {"statsu": 1}, "zzz": 1}
    spec = parse_check(raw)
    assert spec.to_wire()["zzz"] == 1
    assert [str(field) for field in unknown_fields(spec)] == [
        "unknown field 'zzz'",
        "unknown field 'expects.statsu' (did you mean 'expects.status'?)",
    ]
    form = parse_check({**EXAMPLES[19], "id": "f", "fields": [{"selector": "a", "value": "b", "vlaue": "c"}]})
    assert [field.suggestion for field in unknown_fields(form)] == ["fields[0].value"]


class TestManifest:
    def test_one_bad_check_never_costs_the_others(self) -> None:
        raw = {
            "phase": "01-x",
            "must_pass": [
                {"id": "good", "type": "file_exists", "path": "a"},
                {"id": "bad", "type": "nope"},
                "text",
                {"type": "file_exists", "path": "a"},
            ],
            "shouldPass": [{"id": "also", "type": "file_exists", "path": "b"}],
            "api_base_url": "http://localhost:1",
        }
        manifest = parse_manifest(raw, lambda section, index: f"p.md:{index + 10}")
        kinds = [(spec.id, isinstance(spec, UnusableCheck), required) for spec, required in manifest.checks]
        assert kinds == [
            ("good", False, True),
            ("bad", True, True),
            ("must_pass[2]", True, True),
            ("must_pass[3]", True, True),
            ("also", False, False),
        ]
        problems = [spec.problem for spec in manifest.must_pass if isinstance(spec, UnusableCheck)]
        assert all(f"(p.md:{line})" in problem for line, problem in zip((11, 12, 13), problems, strict=True))
        assert manifest.api_base_url == "http://localhost:1"

    @pytest.mark.parametrize(
        ("raw", "name"),
        [
            ({"must_pass": {"id": "a"}}, "must_pass"),
            ({"must_pass": [], "timeout": "soon"}, "timeout"),
            ({"api_base_url": ["x"]}, "api_base_url"),
            ("text", "content"),
            (None, "content"),
        ],
    )
    def test_a_manifest_that_cannot_be_used_is_a_required_check_that_cannot_pass(self, raw: object, name: str) -> None:
        manifest = parse_manifest(raw, "p.md:4")
        [unusable] = manifest.must_pass
        assert isinstance(unusable, UnusableCheck)
        assert unusable.id == name
        assert "p.md:4" in unusable.problem

    def test_it_comes_back_from_the_wire_as_it_went_even_with_checks_that_cannot_be_used(self) -> None:
        raw = {"mustPass": [*({**example, "id": str(n)} for n, example in enumerate(EXAMPLES)), {"type": "nope"}, 3]}
        manifest = parse_manifest(raw)
        assert Manifest.model_validate(manifest.to_wire()) == manifest
        assert manifest.to_wire()["mustPass"][-2:] == [{"type": "nope"}, 3]

    def test_it_finds_ids_that_are_used_twice_across_both_lists(self) -> None:
        one: dict[str, Any] = {"id": "a", "type": "file_exists", "path": "a"}
        assert Manifest(must_pass=(one, {**one, "id": "b"}), should_pass=(one,)).duplicate_ids == {"a"}

    def test_checks_made_in_python_can_be_given_directly(self) -> None:
        spec = parse_check({"id": "a", "type": "file_exists", "path": "a"})
        assert isinstance(spec, CheckSpec)
        assert Manifest(must_pass=(spec,)).must_pass == (spec,)
        assert parse_manifest([spec]).must_pass == (spec,)
