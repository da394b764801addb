"""The process that holds espeak-ng: `python -m tts_service.engines.espeak_child`. Nothing else loads that library.

In (child.py says how), `{"id", "voice", "text", "rate", "pitch"}` speaks (ids rise), `{"cancel": id}` stops that one.
Out, a hello: the sample rate, the voices, their variants. A request is answered by blocks of PCM16 as they are made and
an empty one, or by a refusal when espeak does not know the voice.
"""

import ctypes
import json
import os
import queue
from typing import Any, Final

import espeakng_loader

from shared.errors import EngineFailed
from tts_service.engines.child import Blocks, hear

BLOCK_MS: Final = 60
AT_ONCE: Final = 4  # requests that wait; the parent sends one and reads its answer

_OUTPUT_SYNCHRONOUS: Final = 2
_DONT_EXIT: Final = 0x8000
_CHARS_UTF8: Final = 1
_RATE: Final = 1
_PITCH: Final = 3

_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class _VoiceRecord(ctypes.Structure):
    """The head of espeak_VOICE in speak_lib.h."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_void_p),
        ("identifier", ctypes.c_char_p),
    )


class Child:
    """One espeak-ng: speaks the requests in their order, and hears cancels while it speaks."""

    def __init__(self, blocks: Blocks) -> None:
        self._blocks = blocks
        self._requests: queue.Queue[dict[str, Any]] = queue.Queue(AT_ONCE)
        self._cancelled = 0  # ids rise, so the newest cancelled one tells for all
        self._speaking = 0
        self._voice = ""
        self._data = espeakng_loader.get_data_path()
        self._espeak = ctypes.CDLL(espeakng_loader.get_library_path())
        self._espeak.espeak_Synth.argtypes = [
            ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int, ctypes.c_uint, ctypes.c_uint,
            ctypes.c_void_p, ctypes.c_void_p,
        ]  # fmt: skip
        # The path compiled into the wheel's library is that of a build machine, so it is always told.
        self._sample_rate = self._espeak.espeak_Initialize(
            _OUTPUT_SYNCHRONOUS, BLOCK_MS, os.fsencode(self._data), _DONT_EXIT
        )
        if self._sample_rate <= 0:
            raise SystemExit("espeak-ng did not find its data")
        self._callback = _Callback(self._on_audio)  # kept: espeak holds only its address
        self._espeak.espeak_SetSynthCallback(self._callback)

    def run(self) -> None:
        """Introduce itself, then speak until stdin ends."""
        hear(self._take)
        self._blocks.write(json.dumps(self._hello()).encode())
        while True:
            self._speak(self._requests.get())

    def _take(self, fields: dict[str, Any]) -> None:
        if "cancel" in fields:
            self._cancelled = max(self._cancelled, fields["cancel"])
        else:
            self._requests.put_nowait(fields)

    def _speak(self, fields: dict[str, Any]) -> None:
        self._speaking = fields["id"]
        if self._voice != fields["voice"]:
            if self._espeak.espeak_SetVoiceByName(fields["voice"].encode()):
                return self._blocks.refuse(EngineFailed("espeak-ng does not know one of its voices."))
            self._voice = fields["voice"]
        self._espeak.espeak_SetParameter(_RATE, fields["rate"], 0)
        self._espeak.espeak_SetParameter(_PITCH, fields["pitch"], 0)
        if self._cancelled < self._speaking:
            self._espeak.espeak_Synth(fields["text"].encode(), 0, 0, 1, 0, _CHARS_UTF8, None, None)
        return self._blocks.write(b"")

    def _on_audio(self, samples: Any, count: int, _events: object) -> int:
        if self._cancelled >= self._speaking:
            return 1  # espeak abandons the rest of the text
        if samples and count > 0:
            self._blocks.write(ctypes.string_at(samples, 2 * count))
        return 0

    def _hello(self) -> dict[str, object]:
        return {
            "sample_rate": self._sample_rate,
            "voices": list_voices(self._espeak),
            "variants": sorted(os.listdir(os.path.join(self._data, "voices", "!v"))),
        }


def list_voices(espeak: ctypes.CDLL) -> list[dict[str, object]]:
    """`{name, label, languages: {tag: priority}}` of each voice; `name` is what espeak_SetVoiceByName takes."""
    espeak.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_VoiceRecord))
    espeak.espeak_ListVoices.argtypes = [ctypes.c_void_p]
    records, found = espeak.espeak_ListVoices(None), []
    for place in range(10_000):
        if not records[place]:
            break
        record = records[place].contents
        name = record.identifier.decode().rpartition("/")[2].lower()
        label = record.name.decode().strip()
        found.append({"name": name, "label": label, "languages": _languages(record.languages)})
    return found


def _languages(address: int) -> dict[str, int]:
    """Pairs of a priority byte and a zero-ended tag, ended by a zero priority."""
    found: dict[str, int] = {}
    while priority := ctypes.string_at(address, 1)[0]:
        tag = ctypes.string_at(address + 1)
        found.setdefault(tag.decode(), priority)
        address += len(tag) + 2
    return found


if __name__ == "__main__":
    Child(Blocks()).run()
