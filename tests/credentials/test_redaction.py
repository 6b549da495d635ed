"""Known values are taken out of text and data, whatever they look like and however they stand together."""

from __future__ import annotations

import base64
import json
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from harness_nb.credentials import Redactor

pytestmark = pytest.mark.row(2)


def test_a_value_becomes_the_name_of_its_credential() -> None:
    redactor = Redactor()
    assert redactor.add({"PGPASSWORD": SecretStr("hunter2"), "URL": "pg://u:p@h"}) == []
    assert redactor("login hunter2 at pg://u:p@h, hunter2!") == (
        "login [credential:PGPASSWORD] at [credential:URL], [credential:PGPASSWORD]!"
    )
    assert redactor("nothing here") == "nothing here"


def test_the_longest_value_is_masked_first() -> None:
    redactor = Redactor({"PASSWORD": "hunter2", "URL": "pg://me:hunter2@host"})
    assert redactor("pg://me:hunter2@host hunter2") == "[credential:URL] [credential:PASSWORD]"


def test_overlapping_values_leave_no_end_of_either() -> None:
    redactor = Redactor({"A": "abcdef", "B": "efghij"})
    assert redactor("-abcdefghij-") == "-[credential:A][credential:B]-"
    assert Redactor({"A": "aaaa"})("baaaaaaab") == "b[credential:A]b"
    assert Redactor({"A": "abab"})("abababab") == "[credential:A]"


def test_short_and_common_values_are_refused_by_name_and_not_masked() -> None:
    redactor = Redactor()
    values = {"PIN": "123", "EMPTY": "", "KEY": "12a4", "PORT": "5432", "HOST": "localhost", "CODE": "543210"}
    assert redactor.add(values) == ["PIN", "EMPTY", "PORT", "HOST"]
    assert redactor("123 12a4 localhost:5432 543210") == "123 [credential:KEY] localhost:5432 [credential:CODE]"


def test_every_form_of_a_value_is_masked() -> None:
    value = 'p@ss "w/rd" & more'
    redactor = Redactor({"KEY": value})
    shown = redactor(
        json.dumps({"a": json.dumps({"b": value})}) + repr([value]) + base64.b64encode(value.encode()).decode()
    )
    assert "w/rd" not in shown
    assert shown.count("[credential:KEY]") == 3
    assert redactor('p@ss "w\n/rd" & more') == "[credential:KEY]\n"


def test_a_changed_value_leaves_the_old_one_masked_too() -> None:
    redactor = Redactor({"TOKEN": "first-token"})
    redactor.add({"TOKEN": "second-token"})
    assert redactor("first-token second-token") == "[credential:TOKEN] [credential:TOKEN]"


def test_a_value_of_two_names_keeps_the_first() -> None:
    redactor = Redactor({"GITHUB_TOKEN": "same-token"})
    redactor.add({"GH_TOKEN": "same-token"})
    assert redactor("same-token") == "[credential:GITHUB_TOKEN]"


def test_a_mask_never_spells_a_value() -> None:
    redactor = Redactor({"TOKEN": "credential", "A": "TOKEN", "B": "xyz[", "C": "]tail", "D": "body"})
    for text in ("credential", "TOKEN", "xyzbody", "bodytail"):
        assert not [value for value in ("credential", "TOKEN", "xyz[", "]tail", "body") if value in redactor(text)]


def test_nested_data_is_masked_down_to_keys_and_numbers() -> None:
    redactor = Redactor({"KEY": "s3cret", "PORT": "543210"})
    data = {
        "s3cret": ["a s3cret", ("s3cret", None, True)],
        "port": 543210,
        "other": 5,
        "ratio": 0.5,
        "known": SecretStr("s3cret"),
        "unknown": SecretStr("other"),
        "set": {"s3cret"},
    }
    assert redactor.redact(data) == {
        "[credential:KEY]": ["a [credential:KEY]", ("[credential:KEY]", None, True)],
        "port": "[credential:PORT]",
        "other": 5,
        "ratio": 0.5,
        "known": "[credential:KEY]",
        "unknown": "**********",
        "set": {"[credential:KEY]"},
    }
    assert data["port"] == 543210


def test_a_redactor_does_not_show_what_it_hides() -> None:
    redactor = Redactor({"KEY": "s3cret"})
    assert "s3cret" not in f"{redactor!r} {redactor} {vars(redactor)}"


def test_values_added_in_many_threads_are_all_masked() -> None:
    redactor = Redactor()
    start = threading.Barrier(8)

    def work(number: int) -> None:
        start.wait()
        for item in range(20):
            redactor.add({f"N{number}_{item}": f"value-{number}-{item}."})
            assert f"value-{number}-{item}." not in redactor(f"text value-{number}-{item}.")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    text = redactor(" ".join(f"value-{number}-{item}." for number in range(8) for item in range(20)))
    assert "value-" not in text


# Few letters, those of the masks among them, so that values overlap, nest and meet masks often.
letters = st.text(alphabet="ab[]…:creditnl", min_size=0, max_size=10)
names = st.text(alphabet="abcredit", min_size=1, max_size=6)


@given(st.dictionaries(names, letters, max_size=6), st.lists(letters, max_size=6), st.data())
def test_what_comes_out_never_contains_a_known_value(
    values: dict[str, str], noise: list[str], data: st.DataObject
) -> None:
    redactor = Redactor()
    refused = redactor.add(values)
    kept = [value for name, value in values.items() if name not in refused]
    parts = data.draw(st.permutations([*noise, *values.values(), *kept]))
    text = "".join(parts)
    shown = redactor(text)
    assert not [value for value in kept if value in shown]
    assert redactor(shown) == shown
    nested = redactor.redact({text: [text, {"key": text}]})
    assert not [value for value in kept if any(value in item for item in texts(nested))]
    json.dumps(nested)


@given(st.dictionaries(names, st.text(min_size=4), max_size=4), st.text())
def test_text_without_a_known_value_stays_as_it_is(values: dict[str, str], text: str) -> None:
    if not any(value in text for value in values.values()):
        assert Redactor(values)(text) == text


def texts(data: object) -> list[str]:
    """Every string in nested data."""
    if isinstance(data, dict):
        return [text for pair in data.items() for item in pair for text in texts(item)]
    if isinstance(data, list):
        return [text for item in data for text in texts(item)]
    return [data] if isinstance(data, str) else []
