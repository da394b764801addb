"""Log lines: one JSON object each, with the ids of what is going on, and never the text of an exception."""

import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from shared import threads
from shared.logs import JsonFormatter, bound

pytestmark = [pytest.mark.shell, pytest.mark.anyio]

SECRET = "what a person said"
Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def log() -> Iterator[tuple[logging.Logger, Lines]]:
    """A logger of its own, and what it has written so far."""
    texts: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            texts.append(self.format(record))

    def lines() -> list[dict[str, Any]]:
        assert [text for text in texts if len(text.splitlines()) != 1] == []
        return [json.loads(text) for text in texts]

    keep, logger = Keep(), logging.getLogger("a shop")
    keep.setFormatter(JsonFormatter("asr"))
    logger.addHandler(keep)
    logger.setLevel("INFO")
    yield logger, lines
    logger.removeHandler(keep)


def test_a_line_has_its_fields(log: tuple[logging.Logger, Lines]) -> None:
    logger, lines = log
    logger.warning("%d cups\nare gone", 2, extra={"engine": "pocketsphinx", "took_ms": 12.5, "folder": Path("var")})
    (line,) = lines()
    assert isinstance(line.pop("time"), float)
    assert line == {
        "level": "WARNING",
        "service": "asr",
        "logger": "a shop",
        "message": "2 cups\nare gone",
        "engine": "pocketsphinx",
        "took_ms": 12.5,
        "folder": "var",
    }


def test_bound_ids_are_on_every_line_of_the_block_and_gone_after_it(log: tuple[logging.Logger, Lines]) -> None:
    logger, lines = log
    with bound(session_id="ses_1"):
        logger.info("in")
        with bound(turn_id="trn_1", session_id="ses_2"):
            logger.info("deeper")
        logger.info("out again")
    logger.info("after")
    ids = [{key: value for key, value in line.items() if key.endswith("_id")} for line in lines()]
    assert ids == [{"session_id": "ses_1"}, {"session_id": "ses_2", "turn_id": "trn_1"}, {"session_id": "ses_1"}, {}]


async def test_bound_ids_reach_tasks_and_threads_started_in_the_block_and_no_others(
    log: tuple[logging.Logger, Lines],
) -> None:
    logger, lines = log

    async def say(message: str) -> None:
        await checkpoint()
        logger.info(message)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(say, "outside")
        with bound(reply_id="rpl_1"):
            tasks.start_soon(say, "task")
            await threads.call(logger.info, "thread")
    assert {line["message"]: line.get("reply_id") for line in lines()} == {
        "outside": None,
        "task": "rpl_1",
        "thread": "rpl_1",
    }


def test_ids_are_gone_after_a_block_that_raised(log: tuple[logging.Logger, Lines]) -> None:
    logger, lines = log
    with pytest.raises(KeyError), bound(turn_id="trn_1"):
        raise KeyError
    logger.info("after")
    assert "turn_id" not in lines()[0]


def test_an_exception_is_told_by_its_type_and_place_and_never_by_its_text(log: tuple[logging.Logger, Lines]) -> None:
    logger, lines = log
    try:
        _fail()
    except ValueError as failure:
        logger.exception("the engine failed", extra={"cause": failure, "causes": [failure]})
    (line,) = lines()
    place = f"{__name__}:{_fail.__code__.co_firstlineno + 1}"
    assert (line["exception"], line["at"], line["message"]) == ("ValueError", place, "the engine failed")
    assert (line["cause"], line["causes"]) == ("ValueError", ["ValueError"])
    assert SECRET not in json.dumps(line)


def _fail() -> None:
    raise ValueError(SECRET)


def test_exc_info_without_an_exception_adds_nothing(log: tuple[logging.Logger, Lines]) -> None:
    logger, lines = log
    logger.error("odd", exc_info=True)
    logger.error("odder", exc_info=ValueError(SECRET))
    first, second = lines()
    assert "exception" not in first
    assert (second["exception"], second["at"]) == ("ValueError", "unknown")
    assert SECRET not in json.dumps(second)


def test_a_configured_process_writes_json_lines_to_stderr_from_its_level_on() -> None:
    script = """
import logging
from shared import logs
logs.configure("tts", "INFO")
logging.getLogger("engine").info("loaded \\ud83d")
logging.getLogger("engine").debug("noise")
logging.getLogger("httpx").info("noise")
logging.getLogger("httpx").warning("slow")
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in run.stderr.splitlines()]
    assert [(line["service"], line["logger"], line["message"]) for line in lines] == [
        ("tts", "engine", "loaded \ud83d"),
        ("tts", "httpx", "slow"),
    ]
    assert run.stdout == ""
