"""The house rules that a machine can read: sizes, rooms, docstrings, and what no file of the project holds."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOMS

pytestmark = pytest.mark.docs

TOP = Path(__file__).parents[2]
NOT_OURS = {"var", "build", "__pycache__"}  # written by running Parley, not by its authors
TEXTS = {"", ".conf", ".css", ".html", ".js", ".json", ".jsonl", ".md", ".py", ".sh", ".svg", ".toml", ".txt", ".yaml"}
LONGEST_FILE_LINES = 400
LONGEST_FUNCTION_LINES = 40

PUT_OFF = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X)\b")
SOMEBODY_S_FOLDER = re.compile(r"(?<![\w.~}-])/(?:work|root|home|Users)/")
HOST = re.compile(r"://|--(?:extra-)?index-url|--find-links|--trusted-host")


def files(top: Path) -> Iterator[Path]:
    """Every text that belongs to the project."""
    for path in sorted(top.iterdir()):
        if path.is_dir() and path.name not in NOT_OURS and (not path.name.startswith(".") or path.name == ".ci"):
            yield from files(path)
        elif path.is_file() and path.suffix in TEXTS and not path.name.startswith("."):
            yield path


def named(path: Path) -> str:
    return str(path.relative_to(TOP))


EVERY_FILE = list(files(TOP))
SOURCES = {named(path): path.read_text(encoding="utf-8") for path in EVERY_FILE if path.suffix == ".py"}
TESTS = {name: source for name, source in SOURCES.items() if name.startswith("tests/")}


def long_functions(source: str) -> list[str]:
    """Functions that have too many lines from their `def` to their end."""
    return [
        f"{node.name}: {node.end_lineno - node.lineno + 1} lines"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 > LONGEST_FUNCTION_LINES
    ]


def naps(source: str) -> list[int]:
    """Lines that sleep for a fixed time."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).split(".")[-1] == "sleep"
        and any(
            isinstance(one, ast.Constant) and isinstance(one.value, int | float) and one.value > 0 for one in node.args
        )
    ]


ROOM_OF = {"cosyvoice": "contract", "llama": "contract", "torch": "contract"}  # rooms in environments of their own


def rooms(source: str) -> set[str]:
    """The rooms in a test module's `pytestmark`."""
    marks = [
        ast.unparse(node.value)
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark"
    ]
    return {name for mark in marks for name in re.findall(r"pytest\.mark\.(\w+)", mark)} & ROOMS


def found(pattern: re.Pattern[str], paths: list[Path]) -> list[str]:
    """`file:line` wherever a text matches."""
    return [
        f"{named(path)}:{number}"
        for path in paths
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if pattern.search(line)
    ]


def test_no_file_is_longer_than_a_sitting() -> None:
    lengths = {name: len(source.splitlines()) for name, source in SOURCES.items()}
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_FILE_LINES} == {}


def test_no_function_is_longer_than_a_screen() -> None:
    assert {name: long for name, source in SOURCES.items() if (long := long_functions(source))} == {}


def test_nothing_is_put_off_in_a_comment() -> None:
    assert found(PUT_OFF, [path for path in EVERY_FILE if not path.suffix.startswith(".json")]) == []


def test_no_test_sleeps_for_a_fixed_time() -> None:
    assert {name: lines for name, source in TESTS.items() if (lines := naps(source))} == {}


def test_no_file_names_a_folder_of_its_author() -> None:
    assert found(SOMEBODY_S_FOLDER, EVERY_FILE) == []


def test_the_locks_name_no_host() -> None:
    locks = list((TOP / "deploy" / "locks").glob("*.txt"))
    assert {path.stem for path in locks} >= {"gateway", "asr", "llm", "tts", "dev"}
    assert found(HOST, locks) == []


def test_every_test_module_is_marked_with_the_room_in_which_it_lies() -> None:
    lying = {name: ROOM_OF.get(name.split("/")[1], name.split("/")[1]) for name in TESTS if "/test_" in name}
    assert {name: rooms(SOURCES[name]) for name in lying} == {name: {room} for name, room in lying.items()}


def test_every_module_says_what_it_is_for() -> None:
    silent = [name for name, source in SOURCES.items() if source and not ast.get_docstring(ast.parse(source))]
    assert silent == []


def test_every_package_says_what_it_is_for() -> None:
    packages = [name for name in SOURCES if name.endswith("/__init__.py") and not name.startswith("tests/")]
    assert {name.split("/")[0] for name in packages} >= {
        "gateway",
        "asr_service",
        "llm_service",
        "tts_service",
        "shared",
    }
    assert [name for name in packages if not ast.get_docstring(ast.parse(SOURCES[name]))] == []


def test_the_licence_is_mit() -> None:
    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    assert project["license"] == "MIT"
    assert (TOP / "LICENSE").read_text().startswith("MIT License\n\nCopyright (c) ")


def test_the_changes_are_told_for_what_is_unreleased_or_for_this_version() -> None:
    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    heads = re.findall(r"^## \[?([\w.]+)", (TOP / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert heads[0] in {"Unreleased", project["version"]}


LONG = "async def long() -> None:\n" + "    pass\n" * LONGEST_FUNCTION_LINES


def test_a_function_of_one_line_too_many_is_found() -> None:
    assert long_functions(LONG) == ["long: 41 lines"]
    assert long_functions(LONG.removesuffix("    pass\n")) == []
    assert long_functions("class A:\n" + "".join(f"    {line}\n" for line in LONG.splitlines())) == ["long: 41 lines"]


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("time.sleep(1)", [1]),
        ("async def f():\n    await anyio.sleep(0.01)", [2]),
        ("sleep(0)\nanyio.sleep_forever()\nsleep(until_s)", []),
    ],
)
def test_a_nap_is_found(source: str, lines: list[int]) -> None:
    assert naps(source) == lines


@pytest.mark.parametrize(
    ("source", "marked"),
    [
        ("pytestmark = pytest.mark.core", {"core"}),
        ("pytestmark = [pytest.mark.shell, pytest.mark.anyio]", {"shell"}),
        ("pytestmark = pytest.mark.attic", set()),
        ("def test_it():\n    pytestmark = pytest.mark.core", set()),
    ],
)
def test_a_room_is_read_from_the_mark(source: str, marked: set[str]) -> None:
    assert rooms(source) == marked


@pytest.mark.parametrize(
    ("pattern", "guilty", "innocent"),
    [
        (PUT_OFF, "# TO" + "DO: later", "mastodon, TO" + "DOS"),
        (PUT_OFF, "# FIX" + "ME", "prefixmeasure"),
        (SOMEBODY_S_FOLDER, "open('/ho" + "me/ada/x')", "https://example.org/ho" + "me/"),
        (SOMEBODY_S_FOLDER, "/ro" + "ot/.cache", "$top/ro" + "ots"),
        (HOST, "--index-url http", "--hash=sha256:00"),
        (HOST, "# from https://", "anyio==4.16.0 \\"),
    ],
)
def test_a_planted_text_is_found(pattern: re.Pattern[str], guilty: str, innocent: str) -> None:
    assert (bool(pattern.search(guilty)), bool(pattern.search(innocent))) == (True, False)
