"""The harness: one project's sessions, questions and runs, behind the verbs that every door uses."""

from __future__ import annotations

from harness_nb.harness.change_verbs import ChangeVerbs
from harness_nb.harness.project_verbs import ProjectVerbs
from harness_nb.harness.question_verbs import QuestionVerbs
from harness_nb.harness.run_verbs import RunVerbs
from harness_nb.harness.session_verbs import SessionVerbs


class AsyncHarness(SessionVerbs, ChangeVerbs, QuestionVerbs, ProjectVerbs, RunVerbs):
    """One project, opened; use it as ``async with AsyncHarness(path) as h``.

    ``trust`` lets the commands run that the project's plans hold in this moment, from now on. ``credentials`` is where
    values are looked up, by default the folder that the settings or ``HARNESS_CREDENTIALS_DIR`` name. ``door`` and
    ``actor`` are who answers, in the journal.

    ``policies`` answer what is asked here: by ``ask()``, by sessions that were started or are waited for here, and in
    runs. A run's own come before them, those of ``config.yaml`` after them. ``attended`` is whether somebody is there
    to be asked; without it, it is looked for at each call (see ``attendance``). ``judges`` is whether tries at plans
    that belong to no run are judged here once they end, and a detached run that lost its process is given another one;
    who only watches and answers leaves that to others.

    Raises: ProjectNotFoundError, NotAFolderError, UnwritableFolderError, JournalDamagedError, UnusableArgumentError.
    """

    @property
    def _whole(self) -> AsyncHarness:
        return self
