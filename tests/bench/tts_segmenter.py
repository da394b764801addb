"""What the segmenter costs: microseconds a token, on long mixed texts that come as a language model's tokens do.

Each text is cut into pieces of the sizes that tokens have; the clock runs while they are added, and divides by their
number. Beside it, the same texts for one regular expression on all that waits, with each token: it knows nothing of
abbreviations, numbers, quotes or code, and is what knowing them is paid against.

Run: python -m tests.bench.tts_segmenter [--chars 200000]. The last line is JSON. The goal is 10 µs a token.
"""

import argparse
import json
import random
import re
from time import process_time

from tts_service.core.segmenter import Segmenter

GOAL_US = 10
TIMES = 3
ENGLISH = (
    'Dr. Smith paid $3.50 for version 2.1, "not bad," he said. It runs at example.com; see e.g. chapter 4… '
    "**Bold** words, `code.here()`, and a list:\n1. One thing.\n2. Another (in brackets, really).\n\n"
)
CHINESE = "今天天气很好，我们去公园散步。他说：“明天见！”然后走了……价格是3.5元，对吗？好的；那就这样吧。\n"
KOREAN = "안녕하세요, 오늘은 2026. 11. 20. 입니다. 정말요? 네, 그렇습니다! “좋아요.”라고 말했다.\n"
TEXTS = {
    "english": ENGLISH,
    "chinese": CHINESE,
    "korean": KOREAN,
    "mixed": ENGLISH + CHINESE + KOREAN + "I like 上海 and 서울, 真的. 🙂 OK?\n",
    "one sentence": "and so on and on, word after word ",
}
SENTENCE_END = re.compile(r"[.!?。！？…]+\s*")


class Naive:
    """Looks for sentence marks in all that waits, again with each token."""

    def __init__(self, _language: str) -> None:
        self._text = ""

    def add(self, delta: str) -> list[str]:
        self._text += delta
        *sentences, rest = SENTENCE_END.split(self._text)
        if len(self._text) > 150:
            sentences, rest = [*sentences, rest], ""
        if sentences:
            self._text = rest
        return sentences


def tokens(text: str, chars: int) -> list[str]:
    """Pieces of `chars` of a text said again and again: a character or two, four on average where it is Latin."""
    whole = text * (chars // len(text) + 1)
    chance = random.Random(1)
    pieces: list[str] = []
    at = 0
    while at < chars:
        size = chance.randint(1, 7) if whole[at].isascii() else chance.randint(1, 2)
        pieces.append(whole[at : at + size])
        at += size
    return pieces


def per_token_us(make: type[Segmenter] | type[Naive], pieces: list[str]) -> float:
    """CPU time; the best of several times, for the others were disturbed."""
    best_s = float("inf")
    for _ in range(TIMES):
        segmenter = make("en")
        began_s = process_time()
        for piece in pieces:
            segmenter.add(piece)
        best_s = min(best_s, process_time() - began_s)
    return 1e6 * best_s / len(pieces)


def main(chars: int) -> None:
    found: dict[str, dict[str, float]] = {}
    for name, text in TEXTS.items():
        pieces = tokens(text, chars)
        ours, naive = (round(per_token_us(make, pieces), 2) for make in (Segmenter, Naive))
        found[name] = {"tokens": len(pieces), "us_per_token": ours, "naive_us_per_token": naive}
        print(
            f"{name:<14}{len(pieces):>8} tokens {ours:>7.2f} µs a token; naive {naive:.2f} µs: {ours / naive:.1f} times"
        )
    print(f"goal at most {GOAL_US} µs a token")
    print(json.dumps(found))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--chars", type=int, default=200_000)
    main(parser.parse_args().chars)
