"""``config.yaml``: what is wrong in it is said with its line, and no address of ``notify`` is ever repeated."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from harness_nb.errors import UnreadableFileError
from harness_nb.protocol.files import Config, Policy
from harness_nb.store.settings import DEFAULT, read_config, unknown_settings

if TYPE_CHECKING:
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
    shown = re.sub(r"^(policies|grants|notify): \[\]$", "", DEFAULT, flags=re.MULTILINE)
    write(store, re.sub(r"^# ?((?:policies|grants|notify):|  - .*)", r"\1", shown, flags=re.MULTILINE))
    config = read_config(store.layout)
    assert unknown_settings(store.layout) == []
    assert len(config.policies) == 5
    assert [one.do for one in config.grants] == ["allow", "allow", "deny", "ask"]
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
