"""A process that keeps turns and replaces audio without end, and says the number of each when it is committed.

Run: python -m tests.support.busy_keeper URL AUDIO_FOLDER
"""

import sys
from itertools import count
from pathlib import Path

import anyio

from gateway.store import open_store
from tests.support.kept import kept, sound


async def main(url: str, folder: Path) -> None:
    async with open_store(url, folder) as store:
        for number in count():
            await store.add_turn("ses_1", "ann", kept(f"trn_{number}", f"number {number}"))
            await store.audio.put("trn_0", sound(str(number).encode(), "hq", (0, number)))
            print(number, flush=True)


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], Path(sys.argv[2]))
