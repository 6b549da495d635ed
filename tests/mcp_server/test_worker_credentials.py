"""How credentials reach a worker: by reference, or inside the answer that it awaits where the settings say so."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from harness_nb.errors import UnreadableFileError
from harness_nb.store import Store
from tests.leaks import files_that_hold
from tests.mcp_server.working import Shell, Tools, environment_of, idle_session, worker_client
from tests.sessions.living import opened, question

if TYPE_CHECKING:
    from pathlib import Path

    from harness_nb import AsyncHarness
    from harness_nb.store import SessionFolder

pytestmark = [pytest.mark.anyio, pytest.mark.row(2), pytest.mark.row(13)]

SECRET = "hush-4711-hush"  # pretended
NEED = {"service": "demo", "envVars": ["DEMO_TOKEN"], "reason": "to pay"}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    (folder / ".orchestration").mkdir(parents=True)
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "demo.env").write_text(f"DEMO_TOKEN={SECRET}\n")
    monkeypatch.setenv("HARNESS_CREDENTIALS_DIR", str(credentials))
    return folder


def deliver(project: Path, how: str) -> None:
    (project / ".orchestration" / "config.yaml").write_text(f"deliver: {how}\n")


async def asked_and_granted(h: AsyncHarness, folder: SessionFolder, way: Tools | Shell) -> dict[str, Any]:
    asked = await way.report("credentials_needed", NEED)
    await (await question(h)).approve()
    answer = await way.wait(asked)
    assert answer["payload"]["found"] is True
    return answer


async def both_ways(h: AsyncHarness) -> list[dict[str, Any]]:
    """Ask for credentials with the tools and from a shell, each in a session of its own."""
    first, second = await idle_session(h), await idle_session(h)
    async with worker_client(first) as tools:
        return [
            await asked_and_granted(h, first, tools),
            await asked_and_granted(h, second, Shell(environment_of(second))),
        ]


@pytest.mark.parametrize("said", [True, False], ids=["deliver: reference", "nothing said"])
async def test_by_reference_the_answer_holds_no_value_and_says_how_to_use_it(project: Path, said: bool) -> None:
    if said:
        deliver(project, "reference")
    async with opened(project) as h:
        for answer in await both_ways(h):
            assert answer["payload"]["credentials"] == {}
            assert answer["payload"]["envVars"] == ["DEMO_TOKEN"]
            assert "harness-nb worker exec -- " in answer["payload"]["instructions"]
            assert SECRET not in str(answer)
        shell = Shell(environment_of(h.store.layout.session(answer["sessionId"])))
        done = await shell.run("exec", "--raw", "--", "sh", "-c", 'echo "$DEMO_TOKEN"')
        assert done.stdout == f"{SECRET}\n"
    assert files_that_hold(project, SECRET.encode()) == []


async def test_with_deliver_message_the_values_are_in_the_answer_and_in_no_file(project: Path) -> None:
    deliver(project, "message")
    async with opened(project) as h:
        for answer in await both_ways(h):
            assert answer["payload"]["credentials"] == {"DEMO_TOKEN": SECRET}
        stored = [one.payload["credentials"] for one in h.store.messages.select(direction="out")]
        assert stored == [{}, {}]
    assert files_that_hold(project, SECRET.encode()) == []


async def test_an_answer_can_be_fetched_again_with_its_values(project: Path) -> None:
    deliver(project, "message")
    async with opened(project) as h:
        folder = await idle_session(h)
        async with worker_client(folder) as tools:
            answer = await asked_and_granted(h, folder, tools)
            assert await tools.wait(answer["inResponseTo"]) == answer


async def test_a_refusal_holds_no_values_either_way(project: Path) -> None:
    deliver(project, "message")
    async with opened(project) as h:
        folder = await idle_session(h)
        async with worker_client(folder) as tools:
            asked = await tools.report("credentials_needed", NEED)
            await (await question(h)).reject("not today")
            payload = (await tools.wait(asked))["payload"]
            assert payload["found"] is False
            assert not payload.get("credentials")


async def test_values_that_did_not_arrive_are_told_and_the_answer_is_not_lost(project: Path) -> None:
    deliver(project, "message")
    async with opened(project) as h:
        folder = await idle_session(h)
        async with worker_client(folder) as tools:
            await asked_and_granted(h, folder, tools)
            await h.end_session(folder.path.name)
            answer = await tools.wait(h.store.messages.select(folder.path.name)[0].id)
            assert answer["payload"]["credentials"] == {}
            assert "cannot be reached" in answer["payload"]["instructions"]


async def test_settings_that_cannot_be_read_keep_the_answer_for_the_next_try(project: Path) -> None:
    async with opened(project) as h:
        folder = await idle_session(h)
        async with worker_client(folder) as tools:
            await tools.report("credentials_needed", NEED)
            await (await question(h)).approve()
            deliver(project, "by pigeon")
            said = await tools.refusal("harness_worker_await", {})
            assert "config.yaml:1 cannot be read: deliver: " in said
            shell = await Shell(environment_of(folder)).run("await")
            assert shell.returncode == 2
            assert "config.yaml:1 cannot be read: deliver: " in shell.stderr
            deliver(project, "message")
            assert (await tools.wait())["payload"]["credentials"] == {"DEMO_TOKEN": SECRET}


def test_a_setting_that_there_is_not_names_its_line(project: Path) -> None:
    deliver(project, "by pigeon")
    with closing(Store(project)) as store, pytest.raises(UnreadableFileError, match=r"yaml:1 .*'reference' or 'mess"):
        store.config()
