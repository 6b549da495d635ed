"""Questions are answered by clicking: each kind, whatever the kernel does meanwhile, and by whom is seen everywhere."""

from __future__ import annotations

import re
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

from playwright.sync_api import expect

from harness_nb.harness import current_user
from harness_nb.store import Store
from tests.browser.asking import ONE_QUESTION, answers, card, choose, live, opened, settled

if TYPE_CHECKING:
    from pathlib import Path

    from tests.browser.lab import Lab

KINDS = """\
from harness_nb import Plan, RunBlock, Task
def asks(number, title, task, code="true"):
    keep = Task(name="Go on", runs=[RunBlock(lang="sh", code=code)])
    return Plan(id=f"01-0{number}", title=title, tasks=[task, keep],
                must_pass=[{"id": "fine", "type": "command_succeeds", "command": "true"}])
plans = [
    asks(1, "Cache layer", Task(name="Choose", type="checkpoint:decision", decision="Which cache?",
         context="One process.", options=[
         {"id": "sqlite", "name": "SQLite", "recommended": True, "pros": "no server", "cons": "one writer"},
         {"id": "redis", "name": "Redis", "pros": "shared"}]), 'echo "$HARNESS_DECISION" > decision.txt'),
    asks(2, "Look at it", Task(name="Look", type="checkpoint:human-verify", what_built="The page",
         how_to_verify=["Open it", "Read it"]), "echo seen > seen.txt"),
    asks(3, "Look again", Task(name="Look", type="checkpoint:human-verify", what_built="The other page")),
    asks(4, "Plug it in", Task(name="Plug", type="checkpoint:human-action", action="Plug the board in",
         instructions="The left socket."), "echo plugged > plugged.txt"),
    asks(5, "Deploy", Task(name="Keys", type="checkpoint:credentials", service="acme", env_vars=["ACME_KEY"],
         reason="To upload"), 'printf %s "$ACME_KEY" | wc -c > length.txt'),
    asks(6, "Deploy twice", Task(name="Keys", type="checkpoint:credentials", service="other", env_vars=["OTHER_KEY"])),
]
"""
RUN = "run = h.run(plans=[plan])\nrun"
ASKED = "h.wait_for_state(states=['checkpoint'], timeout=60)\nh.get_pending()[0]"


def test_each_kind_of_question_has_a_form_that_fits_and_the_answer_reaches_the_worker(lab: Lab, project: Path) -> None:
    """Decision, verification passed and failed, action, credentials allowed and denied."""
    keys = project / "keys"
    keys.mkdir()
    (keys / "acme.env").write_text("ACME_KEY=123456789\n")
    provide = (
        f"from harness_nb import Harness, CredentialProvider\n"
        f"h = Harness({str(project)!r}, trust=True, credentials=CredentialProvider({str(keys)!r}))"
    )
    lab.open_cells(KINDS, provide, "run = h.run(plans=plans, max_parallel=6)\nrun")
    lab.run_all()
    out = live(lab, 2)
    expect(out.get_by_role("heading", name="6 wait for you")).to_be_visible()
    assert lab.accessibility_faults(".hnb-live") == []
    lab.theme("dark")
    assert lab.accessibility_faults(".hnb-live") == []

    form = card(out, "Which cache?")
    expect(form.get_by_role("radio", name="SQLite")).to_be_checked()
    form.get_by_role("radio", name="Redis").check()
    form.get_by_text("Add a reason…").click()
    form.get_by_role("textbox").fill("two processes soon")
    form.get_by_role("button", name="Answer").click()
    expect(settled(out, "Which cache?")).to_contain_text("Redis, by")

    form = card(out, "The page")
    expect(form).to_contain_text("Read it")
    form.get_by_role("button", name="Pass").click()
    expect(form).to_have_count(0)

    form = card(out, "The other page")
    form.get_by_role("button", name="Fail").click()
    expect(form).to_contain_text("Say what is wrong")
    form.get_by_role("textbox").fill("the title is missing")
    form.get_by_role("button", name="Fail").click()
    expect(form).to_have_count(0)

    form = card(out, "Plug the board in")
    expect(form).to_contain_text("The left socket.")
    form.get_by_text("Add notes…").click()
    form.get_by_role("textbox").fill("in the right one")
    form.get_by_role("button", name="Done").click()
    expect(form).to_have_count(0)

    form = card(out, "Credentials of acme")
    expect(form).to_contain_text("ACME_KEY")
    form.get_by_label("Allow for").select_option("this run")
    form.get_by_role("button", name="Allow").click()
    expect(form).to_have_count(0)

    form = card(out, "Credentials of other")
    form.get_by_role("button", name="Deny").click()
    expect(form).to_contain_text("Say why not")
    form.get_by_role("textbox").fill("not today")
    form.get_by_role("button", name="Deny").click()
    expect(form).to_have_count(0)

    expect(out.locator(".hnb-report")).to_contain_text("failed")
    expect(out.locator(".hnb-report tbody tr").first).to_contain_text("failed")
    assert lab.accessibility_faults(".hnb-live") == []
    given = answers(project)
    assert {door for door, _ in given.values()} == {"notebook"}
    assert given["01-01"][1]["rationale"] == "two processes soon"
    assert given["01-05"][1]["scope"] == "run"
    assert given["01-03"][1]["feedback"] == "the title is missing"
    assert (project / "decision.txt").read_text() == "redis\n"
    assert (project / "length.txt").read_text().strip() == "9"
    assert (project / "seen.txt").exists()
    assert (project / "plugged.txt").exists()
    lab.expect_no_faults()


def busy(project: Path, number: int, waiting: str) -> str:
    """Return a cell that shows a run and then waits in one way or another."""
    folder = project / str(number)
    folder.mkdir()
    return f"run = Harness({str(folder)!r}).run(plans=[plan])\ndisplay(run)\n{waiting}"


def test_a_click_is_an_answer_while_a_cell_awaits_or_blocks_and_cells_after_it_wait(lab: Lab, project: Path) -> None:
    """Under Run All: each cell ends when its question is answered, and only then the next one asks."""
    cells = [busy(project, 1, "await run"), busy(project, 2, "run.wait()"), "print('the end')"]
    lab.open_cells(ONE_QUESTION, *cells)
    lab.run_all(wait=False)
    choose(live(lab, 1), "Which cache", "Redis")
    expect(settled(live(lab, 1), "Which cache")).to_contain_text("Redis, by")
    choose(live(lab, 2), "Which cache", "SQLite")
    lab.wait_for_text(3, "the end")
    assert [(project / name / "cache.txt").read_text() for name in "12"] == ["cache=redis\n", "cache=sqlite\n"]
    lab.expect_no_faults()


def test_a_click_is_an_answer_while_python_blocks_and_the_stop_button_ends_only_that(lab: Lab, project: Path) -> None:
    lab.open_cells(
        ONE_QUESTION,
        busy(project, 1, "import time; time.sleep(600)"),
        busy(project, 2, "while True: pass"),
        busy(project, 3, "run.wait()"),
        "print(run.ended)",
    )
    lab.run(0)
    for number in (1, 2):
        lab.run(number, wait=False)
        choose(live(lab, number), "Which cache", "Redis")
        expect(settled(live(lab, number), "Which cache")).to_contain_text("Redis, by")
        expect(live(lab, number).locator(".hnb-report")).to_contain_text("passed")
        lab.wait_until_busy(number)
        lab.interrupt()
        lab.wait_for_text(number, "KeyboardInterrupt")
        lab.wait_until_ran(number)
    lab.run(3, wait=False)
    expect(card(live(lab, 3), "Which cache")).to_be_visible()
    lab.interrupt()
    lab.wait_for_text(3, "KeyboardInterrupt")
    lab.wait_until_ran(3)
    lab.run(4)
    lab.wait_for_text(4, "False")
    choose(live(lab, 3), "Which cache", "SQLite")
    expect(live(lab, 3).locator(".hnb-report")).to_contain_text("passed")
    assert (project / "3" / "cache.txt").read_text() == "cache=sqlite\n"
    lab.expect_no_faults()


def test_a_question_outlives_the_page_and_the_kernel(lab: Lab, project: Path) -> None:
    """Reloaded, it is still there to be clicked; restarted, the same session goes on; and one harness a project."""
    twice = ONE_QUESTION + "plan.tasks.append(plan.tasks[0].model_copy(update={'decision': 'Which queue?'}))\n"
    same = "print('same' if Harness(h.root) is h else 'another', [one.id for one in h.list_sessions()])"
    lab.open_cells(twice, opened(project), RUN, same)
    lab.run_all()
    expect(card(live(lab, 2), "Which cache")).to_be_visible()
    lab.run(3)
    lab.wait_for_text(3, re.compile(r"same \[.*\]"))
    before = lab.output(3).inner_text()
    lab.save()
    lab.reload()
    choose(live(lab, 2), "Which cache", "Redis")
    expect(card(live(lab, 2), "Which queue")).to_be_visible()

    lab.restart()
    for number in range(4):
        lab.run(number)
    expect(lab.output(3)).to_have_text(before, use_inner_text=True)
    choose(live(lab, 2), "Which queue", "SQLite")
    expect(live(lab, 2).locator(".hnb-report")).to_contain_text("passed")
    assert (project / "cache.txt").read_text() == "cache=redis\n"
    lab.expect_no_faults()


def test_what_one_tab_or_a_shell_answers_the_others_show(lab: Lab, another: Lab, project: Path) -> None:
    """Two tabs on one notebook, and ``harness-nb respond`` in a process of its own."""
    twice = ONE_QUESTION + "plan.tasks.append(plan.tasks[0].model_copy(update={'decision': 'Which queue?'}))\n"
    lab.open_cells(twice, opened(project), RUN, ASKED)
    lab.run_all()
    expect(card(live(lab, 3), "Which cache")).to_be_visible()
    lab.save()
    another.open()
    choose(live(another, 2), "Which cache", "Redis")
    for page in (lab, another):
        for cell in (2, 3):
            expect(card(live(page, cell), "Which cache")).to_have_count(0)
            expect(settled(live(page, cell), "Which cache")).to_contain_text(
                f"Redis, by {current_user()} through the notebook"
            )

    expect(card(live(lab, 2), "Which queue")).to_be_visible()
    with closing(Store(project)) as store:
        question = store.messages.pending()[0].id
    respond = [sys.executable, "-m", "harness_nb.cli", "respond", question, "--option", "sqlite"]
    subprocess.run([*respond, "--project", str(project)], check=True, timeout=60, capture_output=True)
    for page in (lab, another):
        expect(card(live(page, 2), "Which queue")).to_have_count(0)
        expect(settled(live(page, 2), "Which queue")).to_contain_text(
            f"SQLite, by {current_user()} through the command line"
        )
    lab.expect_no_faults()
    another.expect_no_faults()
