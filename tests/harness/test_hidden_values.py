"""A traceback that shows variables shows no value that was handed over, but in the caller's own frames."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

import pytest

from harness_nb.errors import HarnessError

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness_nb import Harness

pytestmark = pytest.mark.row(2)

SECRET = "s3cr3t-passw0rd-42"
PAYLOAD = {"found": True, "credentials": {"TOKEN": SECRET}}
NO_TEXT = {"found": True, "credentials": {"TOKEN": [SECRET]}}
WRONGLY: dict[str, Callable[[Harness], object]] = {
    "nobody": lambda h: h.respond("credentials_provided", "nobody", PAYLOAD, "nothing"),
    "by name": lambda h: h.respond(type="credentials_provided", session_id="nobody", payload=PAYLOAD),
    "no text": lambda h: h.respond("credentials_provided", "nobody", NO_TEXT),
    "no program": lambda h: h.start_session(command=["/no/such/program"], env_credentials={"TOKEN": SECRET}),
    "no value": lambda h: h.start_session(command=["true"], env_credentials={"TOKEN": f"{SECRET}\0"}),
    "a number": lambda h: h.start_session(command=["true"], env_credentials={"TOKEN": [SECRET]}),
}  # fmt: skip


@pytest.mark.parametrize("how", WRONGLY)
def test_an_error_shows_no_value_in_our_frames(how: str, harness: Harness) -> None:
    with pytest.raises(HarnessError) as raised:
        WRONGLY[how](harness)
    whole = traceback.TracebackException.from_exception(raised.value, capture_locals=True)
    ours = [frame for frame in whole.stack if "/harness_nb/" in frame.filename]
    assert ours
    assert SECRET not in "".join(str(frame.locals) for frame in ours)
    assert SECRET not in str(raised.value)


def test_values_that_are_hidden_on_the_way_arrive(harness: Harness) -> None:
    session = harness.start_session(command=["sh", "-c", 'echo "${#TOKEN} letters"'], env_credentials={"TOKEN": SECRET})
    session.wait(timeout=60)
    assert f"{len(SECRET)} letters" in session.output()
