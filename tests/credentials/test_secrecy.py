"""A value leaves a lookup's result by one explicit way only."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import traceback
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr, ValidationError

from harness_nb.credentials import CredentialProvider, CredentialResult, lookup_credentials
from harness_nb.errors import CredentialPicklingError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.row(2)

SECRET = "hunter2-hunter2"


@pytest.fixture
def result(tmp_path: Path) -> CredentialResult:
    """Return a result that holds a value, with a warning and a missing variable beside it."""
    (tmp_path / "redis.env").write_text(f"REDIS_PASSWORD={SECRET}\n")
    return lookup_credentials("redis", ["REDIS_PASSWORD", "REDIS_URL"], directory=tmp_path)


def test_reveal_is_the_explicit_way(result: CredentialResult) -> None:
    assert result.reveal() == {"REDIS_PASSWORD": SECRET}
    assert isinstance(result.credentials["REDIS_PASSWORD"], SecretStr)


def test_no_rendering_of_a_result_shows_a_value(result: CredentialResult) -> None:
    shown = [
        repr(result),
        str(result),
        f"{result.credentials} {result.credentials['REDIS_PASSWORD']}",
        repr(vars(result)),
        repr(list(result)),
        repr(result.model_dump()),
        result.model_dump_json(),
        json.dumps(result.to_wire()),
        json.dumps(result.credentials, default=str),
        repr(copy.deepcopy(result)),
        repr(result.replace(error="other")),
    ]
    assert not [text for text in shown if SECRET in text]


def test_json_of_a_result_has_no_credentials_at_all(result: CredentialResult) -> None:
    assert result.to_wire()["credentials"] == {}
    assert CredentialResult.model_validate_json(result.model_dump_json()).credentials == {}
    assert result.to_wire()["origins"] == {"REDIS_PASSWORD": "redis.env"}


def test_a_result_is_not_pickled(result: CredentialResult) -> None:
    with pytest.raises(CredentialPicklingError, match="cannot be pickled"):
        pickle.dumps(result)


def test_copies_keep_the_values(result: CredentialResult) -> None:
    assert copy.deepcopy(result).reveal() == result.replace(found=True).reveal() == result.reveal()


def test_a_failed_validation_does_not_quote_its_input() -> None:
    with pytest.raises(ValidationError) as caught:
        CredentialResult.model_validate({"credentials": {"A": [SECRET]}})
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_nothing_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "redis.env").write_text(f'REDIS_PASSWORD={SECRET}\n"{SECRET}\n')
    with caplog.at_level(logging.DEBUG):
        found = lookup_credentials("redis", directory=tmp_path)
    assert found.found
    assert not caplog.records
    assert capfd.readouterr() == ("", "")
    assert SECRET not in " ".join(found.warnings)


def test_a_provider_does_not_show_the_environment_it_holds(tmp_path: Path) -> None:
    provider = CredentialProvider(tmp_path, environ={"REDIS_PASSWORD": SECRET})
    assert repr(provider) == f"CredentialProvider({str(tmp_path)!r})"
