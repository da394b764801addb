"""The README's commands exist and are run by tests, and its links lead somewhere."""

import ast
import re
from pathlib import Path

import pytest

from asr_service.settings import AsrSettings
from gateway.settings import GatewaySettings
from llm_service.settings import LlmSettings
from tts_service.settings import TtsSettings

pytestmark = pytest.mark.docs

TOP = Path(__file__).parents[2]
E2E = "tests/e2e/test_conversation.py"
ITSELF = "the command that runs the tests"
COVERED = {  # a command and the variables that are set in it → the test that runs it
    "make run": f"{E2E}::test_make_run_says_what_it_starts_and_where_it_listens",
    "make talk WAV": f"{E2E}::test_a_spoken_question_is_answered_aloud_and_kept",
    "make talk TEXT": f"{E2E}::test_a_long_answer_is_heard_before_it_is_written_to_the_end",
    "make talk TEXT PERSONA": f"{E2E}::test_a_persona_answers_from_the_command_line",
    "make test": ITSELF,
    "make check": ITSELF,
}
COMMAND = re.compile(r"(?P<before>(?:[A-Z_]+=\S+ )*)make (?P<target>[a-z]+)(?P<after>(?: [A-Z_]+=(?:\"[^\"]*\"|\S+))*)")


def block_lines(page: str) -> list[str]:
    """The lines of the fenced `sh` blocks."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line and not line.startswith("#")]


def inline_commands(page: str) -> list[str]:
    """What stands in backticks and calls make."""
    return [code for code in re.findall(r"`([^`\n]+)`", page) if COMMAND.fullmatch(code)]


def key(line: str) -> str:
    """A command without the values of its variables; what is no call of make, as it stands."""
    match = COMMAND.fullmatch(line)
    return " ".join([f"make {match['target']}", *variables(match["after"])]) if match else line


def variables(text: str) -> list[str]:
    return re.findall(r"([A-Z_]+)=", re.sub(r'"[^"]*"', "", text))


def uncovered(page: str) -> list[str]:
    """Commands in blocks that no test runs."""
    return [line for line in block_lines(page) if key(line) not in COVERED]


def unknown(page: str, makefile: str) -> list[str]:
    """Targets and variables that the README uses and nobody reads."""
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    exported = re.findall(r"^export (.*)$", makefile, re.MULTILINE)
    read = {name for line in exported for name in line.split()} | set(re.findall(r"\$\(if \$\((\w+)\)", makefile))
    for settings in (GatewaySettings, AsrSettings, LlmSettings, TtsSettings):
        read |= {name for names in settings.variables().values() for name in names}
    missing = []
    for line in [*block_lines(page), *inline_commands(page)]:
        if match := COMMAND.fullmatch(line):
            missing += [match["target"]] if match["target"] not in targets else []
            missing += [name for name in variables(match["before"] + match["after"]) if name not in read]
    return missing


def dead_links(page: str, top: Path) -> list[str]:
    """Relative links to nothing."""
    links = re.findall(r"\]\((?!https?:)([^)#\s]+)", page)
    return [link for link in links if not (top / link).exists()]


def readme() -> str:
    return (TOP / "README.md").read_text(encoding="utf-8")


def test_every_command_in_a_block_is_run_by_a_test() -> None:
    assert uncovered(readme()) == []


@pytest.mark.parametrize("place", [place for place in COVERED.values() if place != ITSELF])
def test_the_test_that_runs_a_command_exists(place: str) -> None:
    path, _, function = place.partition("::")
    tree = ast.parse((TOP / path).read_text(encoding="utf-8"))
    assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_no_test_is_named_for_a_command_that_the_readme_does_not_show() -> None:
    shown = {key(line) for line in [*block_lines(readme()), *inline_commands(readme())]}
    assert set(COVERED) - shown == set()


def test_every_target_and_variable_exists() -> None:
    assert unknown(readme(), (TOP / "Makefile").read_text(encoding="utf-8")) == []


def test_every_link_leads_somewhere() -> None:
    pages = [TOP / "README.md", TOP / "CHANGELOG.md", *(TOP / "docs").rglob("*.md")]
    assert {page.name: dead for page in pages if (dead := dead_links(page.read_text("utf-8"), page.parent))} == {}


SAMPLE = """
`PORT=9000 make run` or `make dance`, but not `make`; [here](docs/adr), [there](nowhere.md), [out](https://example.org)

```sh
# a comment
make run
make talk TEXT="A=1, you know?" PERSONA=sun_wukong
make tea CUPS=2
curl http://127.0.0.1:8000/health
```

```
make no difference
```
"""


def test_commands_are_read_from_a_page() -> None:
    assert block_lines(SAMPLE) == [
        "make run",
        'make talk TEXT="A=1, you know?" PERSONA=sun_wukong',
        "make tea CUPS=2",
        "curl http://127.0.0.1:8000/health",
    ]
    assert inline_commands(SAMPLE) == ["PORT=9000 make run", "make dance"]
    assert key(block_lines(SAMPLE)[1]) == "make talk TEXT PERSONA"


def test_what_is_planted_in_a_page_is_found() -> None:
    assert uncovered(SAMPLE) == ["make tea CUPS=2", "curl http://127.0.0.1:8000/health"]
    assert unknown(SAMPLE, "export PORT TEXT PERSONA\nrun:\ntalk:\n") == ["tea", "CUPS", "dance"]
    assert dead_links(SAMPLE, TOP) == ["nowhere.md"]
