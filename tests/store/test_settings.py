"""``config.yaml``: what is wrong in it is said with its line, and no address of ``notify`` is ever repeated."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from harness_nb.errors import UnreadableFileError
from harness_nb.protocol.credentials import Service
from harness_nb.protocol.files import Config, Policy
from harness_nb.store.settings import DEFAULT, read_config, unknown_settings
from tests.credentials.shelves import install

if TYPE_CHECKING:
    from pathlib import Path

    from harness_nb.store import Store

TOKEN = "xoxb-12345-secret"


def write(store: Store, text: str) -> None:
    store.layout.config.write_text(text)


def test_a_pattern_that_is_no_regular_expression_is_one_sentence_with_file_and_line(store: Store) -> None:
    write(store, 'version: 1\npolicies:\n  - {kind: decision, do: wait}\n  - {pattern: "colou?r (", do: approve}\n')
    with pytest.raises(UnreadableFileError) as caught:
        read_config(store.layout)
    said = str(caught.value)
    assert f"{store.layout.config}, line 4" in said or f"{store.layout.config}:4" in said, said
    assert "'colou?r (' is no regular expression: missing )" in said
    assert "\n" not in said


@pytest.mark.parametrize("setting", ["quietAfter: .inf", "quietAfter: -1", "policies: [{do: remind, after: .inf}]"])
def test_a_time_that_never_comes_is_refused(store: Store, setting: str) -> None:
    write(store, setting)
    with pytest.raises(UnreadableFileError):
        read_config(store.layout)


def test_the_default_settings_and_every_example_in_them_can_be_used(store: Store) -> None:
    write(store, DEFAULT)
    assert read_config(store.layout) == Config(version=1)
    assert unknown_settings(store.layout) == []
    shown = re.sub(r"^(policies|grants|notify|services): (\[\]|\{\})$", "", DEFAULT, flags=re.MULTILINE)
    write(
        store, re.sub(r"^# ?((?:policies|grants|notify|services):$|  (?:- |acme:).*)", r"\1", shown, flags=re.MULTILINE)
    )
    config = read_config(store.layout)
    assert unknown_settings(store.layout) == []
    assert len(config.policies) == 5
    assert [one.do for one in config.grants] == ["allow", "allow", "deny", "ask"]
    assert config.services == {"acme": Service(variables=("ACME_TOKEN", "ACME_URL"), stems=("acme",))}
    assert [one.events for one in config.notify] == [None, ("question", "failed")]


def test_a_policy_keeps_its_pattern_on_the_wire() -> None:
    assert Policy(pattern="x", do="wait").to_wire() == {"pattern": "x", "do": "wait"}


@pytest.mark.row(2)
@pytest.mark.parametrize(
    "wrong",
    [
        f"notify: slack://{TOKEN}\n",
        f"notify: [[slack://{TOKEN}]]\n",
        f"notify: [{{uri: slack://{TOKEN}}}]\n",
        f"notify: [{{url: [slack://{TOKEN}]}}]\n",
        f"notify: [{{url: slack://{TOKEN}, events: [slack://{TOKEN}]}}]\n",
        f"notify:\n  - slack://{TOKEN}: [failed]\n",
        f"notify: ['slack://{TOKEN}\n",
    ],
)
def test_an_address_that_cannot_be_read_is_not_repeated(store: Store, wrong: str) -> None:
    write(store, wrong)
    with pytest.raises(UnreadableFileError) as caught:
        read_config(store.layout)
    assert TOKEN not in str(caught.value) + repr(caught.value) + "".join(unknown_settings(store.layout))


@pytest.mark.row(2)
def test_an_address_is_in_no_picture_of_the_settings(store: Store) -> None:
    write(store, f"notify: [slack://{TOKEN}, {{url: 'json://{TOKEN}', event: [failed]}}]\n")
    config = read_config(store.layout)
    assert config.notify[0].url.get_secret_value() == f"slack://{TOKEN}"
    assert TOKEN not in f"{config!r} {config} {config.to_wire()} {config.model_dump()}"
    [unknown] = unknown_settings(store.layout)
    assert unknown == ".orchestration/config.yaml:1: an address of notify has url and events, and nothing else"


@pytest.mark.row(1)
@pytest.mark.parametrize(
    ("wrong", "line", "said"),
    [
        ("credentialSources: []\n", 1, "credentialSources: tuple should have at least 1 item"),
        ("credentialSources: keyring\n", 1, "credentialSources: input should be a valid tuple"),
        ("credentialSources:\n  - files\n  - [keyring]\n", 3, "credentialSources.1: input should be a valid string"),
        ("credentialSources: [files, keyring, files]\n", 1, "'files' is there twice"),
        ("services:\n  a/b: {}\n", 1, "services: value error, 'a/b' is no name of a service"),
        ("services:\n  _: {}\n", 1, "services: value error, '_' is no name of a service"),
        ("services:\n  acme: [ACME_TOKEN]\n", 2, "services.acme: input should be"),
        ("services:\n  acme:\n    stems: [acme]\n    variables: ACME_TOKEN\n", 4, "services.acme.variables: input"),
        (f"services:\n  acme:\n    variables:\n      - ACME_TOKEN={TOKEN}\n", 4,
         "services.acme.variables.0: value error, the name of a variable has letters, digits and _ alone"),
        ("services:\n  acme:\n    variables: [A]\n    stems: [acme, '-']\n", 4, "a stem is a word of a file's name"),
        (f"services: {{acme: {{variables: {{ACME_TOKEN: {TOKEN}}}}}}}\n", 1, "services.acme.variables: input"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_sources_and_services_is_said_with_its_line(
    store: Store, wrong: str, line: int, said: str
) -> None:
    write(store, wrong)
    with pytest.raises(UnreadableFileError) as caught:
        read_config(store.layout)
    assert said in str(caught.value)
    assert re.search(rf"(line |:){line}\b", str(caught.value)), caught.value
    assert TOKEN not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.row(1)
def test_a_source_that_nobody_offers_and_a_key_that_no_service_has_are_named_with_their_lines(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path / "site", "a_source", "", vault="Vault")
    monkeypatch.syspath_prepend(tmp_path / "site")
    write(
        store,
        f"credentialSources:\n  - vault\n  - keyrng\n  - valt\n"
        f"services:\n  acme:\n    variable: [A]\n    ACME_TOKEN: {TOKEN}\n",
    )
    assert unknown_settings(store.layout) == [
        ".orchestration/config.yaml:3: unknown source of credentials 'keyrng'; did you mean 'keyring'?",
        ".orchestration/config.yaml:4: unknown source of credentials 'valt'; did you mean 'vault'?",
        ".orchestration/config.yaml:7: unknown key of a service 'variable'; did you mean 'variables'?",
        ".orchestration/config.yaml:8: unknown key of a service 'ACME_TOKEN'",
    ]
    config = read_config(store.layout)
    assert TOKEN not in f"{config!r} {config.to_wire()}"
