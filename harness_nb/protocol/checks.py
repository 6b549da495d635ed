"""The twenty-seven checks of the verification engine.

A field that a check does not know is kept, since other programs write these files; reading them is in
:mod:`harness_nb.protocol.check_reading`.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter

from harness_nb.protocol.base import VerifiedBy, WireModel


def _as_text(value: object) -> object:
    """Turn what YAML reads as a number or a boolean back into the text that was meant."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


Text = Annotated[str, BeforeValidator(_as_text)]
NonEmptyText = Annotated[str, BeforeValidator(_as_text), Field(min_length=1)]


class CheckSpec(WireModel):
    """What every check has: an id, a type, and how to run it. ``timeout`` is in milliseconds, for one try."""

    # Built when the first check is read: twenty-seven schemas would slow every import of the package.
    model_config = ConfigDict(defer_build=True)

    default_timeout: ClassVar[float | None] = 60_000
    verified_by: ClassVar[VerifiedBy] = "auto"

    id: NonEmptyText
    type: str
    description: str | None = None
    critical: bool = False
    timeout: float | None = Field(default=None, gt=0)
    retries: int = Field(default=0, ge=0)


class FileExists(CheckSpec):
    """A file or folder is there; a path that ends in a slash must be a folder."""

    type: Literal["file_exists"] = "file_exists"
    path: NonEmptyText


class FileContains(CheckSpec):
    """A file contains a text, or has a match of a regular expression (``^`` and ``$`` mean lines)."""

    type: Literal["file_contains"] = "file_contains"
    path: NonEmptyText
    pattern: NonEmptyText
    regex: bool = False


class FileNotContains(CheckSpec):
    """A file is there and does not contain a text, or has no match of a regular expression."""

    type: Literal["file_not_contains"] = "file_not_contains"
    path: NonEmptyText
    pattern: NonEmptyText
    regex: bool = False


class CommandSucceeds(CheckSpec):
    """A shell command ends with exit status 0."""

    type: Literal["command_succeeds"] = "command_succeeds"
    command: NonEmptyText
    cwd: str | None = None
    env: dict[str, Text] | None = None


class CommandOutput(CheckSpec):
    """What a shell command prints contains a text or has a match; its exit status does not matter."""

    type: Literal["command_output"] = "command_output"
    command: NonEmptyText
    expects: NonEmptyText
    regex: bool = False
    stream: Literal["stdout", "stderr", "combined"] = "stdout"
    cwd: str | None = None
    env: dict[str, Text] | None = None


class ExpectedResponse(WireModel):
    """What an HTTP response must be like; what is not named is not looked at."""

    status: int | None = None
    headers: dict[str, Text] | None = None
    body: Any = None
    body_match: Literal["exact", "partial", "regex"] = "exact"


class ApiResponse(CheckSpec):
    """An HTTP request gets the expected response; a ``url`` without a host joins the API's base URL."""

    default_timeout: ClassVar[float | None] = 30_000

    type: Literal["api_response"] = "api_response"
    method: NonEmptyText
    url: NonEmptyText
    headers: dict[str, Text] | None = None
    body: Any = None
    expects: ExpectedResponse


class BuildSucceeds(CheckSpec):
    """The project builds; without a command, the one that its kind of project has."""

    default_timeout: ClassVar[float | None] = 300_000

    type: Literal["build_succeeds"] = "build_succeeds"
    command: NonEmptyText | None = None
    cwd: str | None = None


class TestsPass(CheckSpec):
    """The project's tests pass; ``test_pattern`` picks some of them."""

    __test__ = False  # its name would have pytest collect it

    default_timeout: ClassVar[float | None] = 600_000

    type: Literal["tests_pass"] = "tests_pass"
    command: NonEmptyText | None = None
    test_pattern: NonEmptyText | None = None
    cwd: str | None = None


class TypeCheck(CheckSpec):
    """The project's types hold; ``tsconfig`` names the configuration of a TypeScript project."""

    type: Literal["type_check"] = "type_check"
    tsconfig: NonEmptyText | None = None
    command: NonEmptyText | None = None
    cwd: str | None = None


class LintClean(CheckSpec):
    """The linter has nothing to say about the project, or about ``files``."""

    type: Literal["lint_clean"] = "lint_clean"
    command: NonEmptyText | None = None
    files: tuple[str, ...] | None = None
    cwd: str | None = None


class JsonValid(CheckSpec):
    """A file holds valid JSON; ``schema`` is a JSON Schema, or the path of one."""

    type: Literal["json_valid"] = "json_valid"
    path: NonEmptyText
    json_schema: dict[str, Any] | bool | str | None = Field(default=None, alias="schema")


class EnvVarSet(CheckSpec):
    """An environment variable is set and not empty, or has exactly this value."""

    type: Literal["env_var_set"] = "env_var_set"
    name: NonEmptyText
    value: Text | None = None


class PortAvailable(CheckSpec):
    """A TCP port of this machine is free, or (``available: false``) is in use."""

    type: Literal["port_available"] = "port_available"
    port: int = Field(ge=1, le=65535)
    available: bool = True


class ProcessRunning(CheckSpec):
    """A process of this name or command line is running, or (``running: false``) is not."""

    type: Literal["process_running"] = "process_running"
    process: NonEmptyText
    running: bool = True


class BrowserCheck(CheckSpec):
    """What every check in a browser has; without a ``url`` it looks at the UI's base URL itself."""

    verified_by: ClassVar[VerifiedBy] = "playwright"

    url: str = "/"


class UiElementExists(BrowserCheck):
    """An element is on the page; ``wait_timeout`` is in milliseconds."""

    type: Literal["ui_element_exists"] = "ui_element_exists"
    selector: NonEmptyText
    wait_timeout: float | None = Field(default=None, ge=0)


class UiElementText(BrowserCheck):
    """An element shows a text."""

    type: Literal["ui_element_text"] = "ui_element_text"
    selector: NonEmptyText
    text: Text
    match: Literal["exact", "contains", "regex"] = "exact"


class UiElementVisible(BrowserCheck):
    """An element can be seen, or cannot."""

    type: Literal["ui_element_visible"] = "ui_element_visible"
    selector: NonEmptyText
    visible: bool = True


class UiElementEnabled(BrowserCheck):
    """An element can be used, or cannot."""

    type: Literal["ui_element_enabled"] = "ui_element_enabled"
    selector: NonEmptyText
    enabled: bool = True


class UiNavigation(BrowserCheck):
    """A click leads to a URL."""

    type: Literal["ui_navigation"] = "ui_navigation"
    click_selector: NonEmptyText
    expect_url: NonEmptyText
    url_match: Literal["exact", "contains", "regex"] = "exact"


class FormField(WireModel):
    """One field of a form and what goes into it."""

    selector: NonEmptyText
    value: Text
    type: Literal["text", "select", "checkbox", "radio"] = "text"


class ExpectedSubmission(WireModel):
    """What shows that a form was sent."""

    url: str | None = None
    success_selector: str | None = None
    error_selector: str | None = None


class UiFormSubmit(BrowserCheck):
    """A form can be filled in and sent."""

    type: Literal["ui_form_submit"] = "ui_form_submit"
    fields: tuple[FormField, ...]
    submit_selector: NonEmptyText
    expects: ExpectedSubmission


class UiScreenshotMatch(BrowserCheck):
    """A screenshot is like its baseline; ``threshold`` is the percentage of pixels that may differ."""

    type: Literal["ui_screenshot_match"] = "ui_screenshot_match"
    baseline: NonEmptyText
    selector: str | None = None
    threshold: float | None = Field(default=None, ge=0, le=100)


class BrowserAction(WireModel):
    """One thing to do on a page; ``timeout`` is in milliseconds."""

    type: Literal["click", "type", "wait"]
    selector: str | None = None
    value: Text | None = None
    timeout: float | None = Field(default=None, ge=0)


class UiNoConsoleErrors(BrowserCheck):
    """The page writes no error to the browser's console."""

    type: Literal["ui_no_console_errors"] = "ui_no_console_errors"
    actions: tuple[BrowserAction, ...] | None = None
    ignore_patterns: tuple[str, ...] | None = None


class UiAccessibility(BrowserCheck):
    """The page keeps accessibility rules; ``min_score`` goes from 0 to 100."""

    type: Literal["ui_accessibility"] = "ui_accessibility"
    rules: tuple[str, ...] | None = None
    min_score: float | None = Field(default=None, ge=0, le=100)


class HumanCheck(CheckSpec):
    """What every check by a person has: as much time as the person takes."""

    default_timeout: ClassVar[float | None] = None
    verified_by: ClassVar[VerifiedBy] = "human"


class VisualQuality(HumanCheck):
    """A person judges how something looks."""

    type: Literal["visual_quality"] = "visual_quality"
    target: NonEmptyText
    aspects: tuple[str, ...] | None = None
    reference: str | None = None


class UxFlow(HumanCheck):
    """A person goes through a flow and compares its outcome."""

    type: Literal["ux_flow"] = "ux_flow"
    flow: NonEmptyText
    steps: tuple[str, ...]
    expected_outcome: NonEmptyText


class ContentReview(HumanCheck):
    """A person reads a text against criteria."""

    type: Literal["content_review"] = "content_review"
    location: NonEmptyText
    criteria: tuple[str, ...]


class SecurityReview(HumanCheck):
    """A person looks at something with security concerns in mind."""

    type: Literal["security_review"] = "security_review"
    target: NonEmptyText
    concerns: tuple[str, ...]


AutomaticCheck = (
    FileExists
    | FileContains
    | FileNotContains
    | CommandSucceeds
    | CommandOutput
    | ApiResponse
    | BuildSucceeds
    | TestsPass
    | TypeCheck
    | LintClean
    | JsonValid
    | EnvVarSet
    | PortAvailable
    | ProcessRunning
)
UiCheck = (
    UiElementExists
    | UiElementText
    | UiElementVisible
    | UiElementEnabled
    | UiNavigation
    | UiFormSubmit
    | UiScreenshotMatch
    | UiNoConsoleErrors
    | UiAccessibility
)
PersonCheck = VisualQuality | UxFlow | ContentReview | SecurityReview
Check = Annotated[AutomaticCheck | UiCheck | PersonCheck, Field(discriminator="type")]

CHECK_ADAPTER: TypeAdapter[Any] = TypeAdapter(Check, config=ConfigDict(defer_build=True))


def _types_of(union: object) -> tuple[str, ...]:
    return tuple(model.model_fields["type"].default for model in get_args(union))


AUTOMATIC_TYPES = _types_of(AutomaticCheck)
UI_TYPES = _types_of(UiCheck)
PERSON_TYPES = _types_of(PersonCheck)
CHECK_TYPES = AUTOMATIC_TYPES + UI_TYPES + PERSON_TYPES
