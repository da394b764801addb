"""`python -m tests.support.own_coverage`: every core file reaches full branch coverage from its own tests alone.

The own tests of `PACKAGE/core/ROOM.py` are `tests/core/test_PACKAGE_ROOM*.py` (`asr_service` is called `asr` there).
What every file shares (fixtures, word lists without a decision) still counts only when those tests reach it.
"""

import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TOP = Path(__file__).parents[2]


def cores() -> list[Path]:
    """Every file in a core that decides something."""
    return [path for path in sorted(TOP.glob("*/core/*.py")) if path.parts[-3] != "tests" and path.stem != "__init__"]


def own_tests(core: Path) -> list[str]:
    """The test files named after a core file."""
    package = core.parts[-3].removesuffix("_service")
    return [str(path) for path in sorted((TOP / "tests" / "core").glob(f"test_{package}_{core.stem}*.py"))]


def uncovered(core: Path) -> str:
    """What the own tests of a core leave out, or nothing."""
    name, tests = core.relative_to(TOP), own_tests(core)
    if not tests:
        return f"{name}: has no tests of its own"
    with tempfile.TemporaryDirectory() as folder:
        coverage = [sys.executable, "-m", "coverage"]
        pytest = ["pytest", "-q", "-p", "no:cacheprovider"]
        recorded = [f"--data-file={folder}/coverage"]
        run = subprocess.run(
            [*coverage, "run", *recorded, "--rcfile=/dev/null", "--branch", f"--include={core}", "-m", *pytest, *tests],
            cwd=TOP, capture_output=True, text=True,
        )  # fmt: skip
        if run.returncode:
            return f"{name}: its tests fail\n{run.stdout[-2000:]}"
        report = subprocess.run(
            [*coverage, "report", *recorded, "--rcfile=/dev/null", "-m", "--fail-under=100", "--precision=2"],
            cwd=TOP, capture_output=True, text=True,
        )  # fmt: skip
    return "" if report.returncode == 0 else f"{name}:\n{report.stdout}{report.stderr}"


def main() -> None:
    found = cores()
    with ThreadPoolExecutor(2) as pool:
        faults = [fault for fault in pool.map(uncovered, found) if fault]
    print(f"{len(found) - len(faults)} of {len(found)} cores reach full branch coverage from their own tests")
    sys.exit("\n".join(faults) or 0)


if __name__ == "__main__":
    main()
