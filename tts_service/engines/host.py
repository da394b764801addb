"""The process in which an adapter's engine runs: `python -m tts_service.engines.host ADAPTER --option value …`.

ADAPTER is a module with `open(options) -> Engine`; hosted.py is the parent's side, child.py says how both are joined.

In: `{"id", …the fields of a SynthesisRequest, "speaker": key}` speaks and `{"id", "reference": {…}}` prepares (ids
rise), `{"hold": key, "revision", "prepared": base64}` comes before the first request that names the speaker,
`{"cancel": id}` stops one. Out: a hello, the sample rate and the capabilities, or a refusal when the engine does not
start; then for each request its blocks and an empty one, or a refusal at its end.

Nothing that a library prints, logs or warns of leaves this process, since it quotes the text that is spoken; of a
fault, it is told where it was raised and not what it says. An engine that fails by faults again and again is ended, to
be loaded anew.
"""

import json
import logging
import os
import queue
import sys
import threading
import traceback
import warnings
from base64 import b64decode
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from shared.errors import EngineFailed, ParleyError
from shared.threads import StopToken
from tts_service.engines.base import Engine, Reference, Slot, Speaker, SynthesisRequest
from tts_service.engines.child import Blocks, hear
from tts_service.engines.recent import SPEAKERS_HELD, Recent

AT_ONCE: Final = 4  # lines that wait; the parent sends a speaker and a request, and reads the answer
FAULTS_IN_A_ROW: Final = 3
BLOCK_BYTES: Final = 1 << 16  # a longer one is cut, so that a parent that has stopped need not read much


class Host:
    """Serves one slot of one engine, one request after the other, and hears cancels meanwhile."""

    def __init__(self, blocks: Blocks) -> None:
        self._blocks = blocks
        self._requests: queue.Queue[dict[str, Any]] = queue.Queue(AT_ONCE)
        self._speakers: Recent[str, Speaker] = Recent(SPEAKERS_HELD)
        self._lock = threading.Lock()
        self._cancelled = 0  # ids rise, so the newest cancelled one tells for all
        self._running = 0
        self._stop = StopToken()
        self._faults = 0

    def run(self, adapter: str, options: Mapping[str, str]) -> None:
        """Load, introduce itself, then serve until stdin ends."""
        hear(self._take)
        hush()
        try:
            engine: Engine = import_module(adapter).open(options)
            engine.start()
            slot = engine.open_slot()
        except ParleyError as failure:
            return self._blocks.refuse(failure)
        except Exception as fault:  # a library may raise anything as it loads
            _tell(fault)
            return self._blocks.refuse(EngineFailed("The speech engine cannot be loaded."))
        hello = {"sample_rate": engine.sample_rate, "capabilities": asdict(engine.capabilities)}
        self._blocks.write(json.dumps(hello).encode())
        while True:
            self._serve(self._requests.get(), slot)

    def _take(self, fields: dict[str, Any]) -> None:
        if "cancel" not in fields:
            return self._requests.put_nowait(fields)
        with self._lock:
            self._cancelled = max(self._cancelled, fields["cancel"])
            if self._running <= self._cancelled:
                self._stop.stop()

    def _serve(self, fields: dict[str, Any], slot: Slot) -> None:
        if "hold" in fields:
            self._speakers.put(fields["hold"], Speaker(fields["revision"], b64decode(fields["prepared"])))
            return
        stop = self._begin(fields.pop("id"))
        try:
            for block in self._answer(fields, slot, stop):
                self._blocks.write(block)
            self._faults = 0
            self._blocks.write(b"")
        except ParleyError as failure:
            self._faults = 0
            self._blocks.refuse(failure)
        except Exception as fault:  # a library may raise anything, and the next request may be served
            _tell(fault)
            self._faults += 1
            self._blocks.refuse(EngineFailed("The speech engine failed."))
        if self._faults >= FAULTS_IN_A_ROW:
            os._exit(1)

    def _begin(self, number: int) -> StopToken:
        with self._lock:
            self._running, self._stop = number, StopToken()
            if number <= self._cancelled:
                self._stop.stop()
            return self._stop

    def _answer(self, fields: dict[str, Any], slot: Slot, stop: StopToken) -> Iterator[bytes]:
        reference = fields.get("reference")
        if reference:
            yield from _cut(slot.prepare(Reference(**{**reference, "path": Path(reference["path"])})))
            return
        key = fields["speaker"]
        request = SynthesisRequest(**{**fields, "speaker": self._speakers.get(key) if key else None})
        with closing(slot.synthesise(request, stop)) as blocks:
            for block in blocks:
                for piece in _cut(block):
                    if stop.is_stopped():
                        return
                    yield piece


def hush() -> None:
    """Let no library log, warn, draw a bar, or tell of a fault on a thread of its own: such lines quote the text."""
    sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 (for as long as this process lives)
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    threading.excepthook = lambda told: _tell(told.exc_value)


def _cut(content: bytes) -> Iterator[bytes]:
    """Pieces of whole samples; none of nothing, since an empty block ends an answer."""
    for start in range(0, len(content), BLOCK_BYTES):
        yield content[start : start + BLOCK_BYTES]


def _tell(fault: BaseException | None) -> None:
    if fault is not None:
        frames = traceback.extract_tb(fault.__traceback__)
        at = [f"    {frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        os.write(2, "\n".join([f"the engine raised {type(fault).__name__}", *at, ""]).encode())


def main(arguments: list[str]) -> None:
    """ADAPTER, then `--option value` as often as there are options."""
    adapter, *told = arguments
    options = {name.removeprefix("--"): value for name, value in zip(told[::2], told[1::2], strict=True)}
    Host(Blocks()).run(adapter, options)


if __name__ == "__main__":
    main(sys.argv[1:])
