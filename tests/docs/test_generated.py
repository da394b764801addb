"""The pages that follow from the code are what the code says now."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from docs import generate

pytestmark = pytest.mark.docs


@pytest.mark.parametrize("name", generate.PAGES)
def test_a_page_is_what_the_code_says(name: str) -> None:
    path = generate.FOLDER / name
    assert path.exists(), "run `make docs WRITE=1`"
    assert path.read_text(encoding="utf-8") == generate.PAGES[name](), "run `make docs WRITE=1`"


def test_no_page_is_left_over() -> None:
    written = {path.name for path in generate.FOLDER.glob("*.md") if path.read_text("utf-8").startswith(generate.HEAD)}
    assert written == {name for name in generate.PAGES if name.endswith(".md")}


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """`python -m docs.generate OPTION` in an empty folder."""
    monkeypatch.setattr(generate, "FOLDER", tmp_path)

    def run(option: str) -> None:
        monkeypatch.setattr(sys, "argv", ["generate", option])
        generate.main()

    return run


def test_the_check_names_every_page_that_differs(tmp_path: Path, command: Callable[[str], None]) -> None:
    with pytest.raises(SystemExit, match=", ".join(generate.PAGES)):
        command("--check")
    command("--write")
    command("--check")
    (tmp_path / "errors.md").write_text("something else")
    with pytest.raises(SystemExit, match=r"docs/ differs from the code: errors\.md\."):
        command("--check")
