"""A stretch that was finished and went on: its parts in a row, for an engine that reads each part on its own.

What a decoder tells of a part is counted from the part's beginning; here it is counted from the stretch's.
"""

from dataclasses import dataclass, replace

from asr_service.engines.base import Result, Span, Word


@dataclass(slots=True)
class Parts:
    """The finished parts, and where in the stretch the next one begins. `between` stands between their texts."""

    between: str = " "
    from_samples: int = 0
    texts: tuple[str, ...] = ()
    spans: tuple[Span, ...] = ()

    def close(self, text: str, spans: tuple[Span, ...], samples: int) -> None:
        """The current part is finished, `samples` long; its spans are counted from its beginning."""
        self.texts += (text,)
        self.spans += tuple(moved(span, self.from_samples) for span in spans)
        self.from_samples += samples

    def with_text(self, current: str) -> str:
        """How the stretch reads with this in the current part."""
        return self.between.join(text for text in (*self.texts, current) if text)

    def result(self) -> Result:
        """The finished parts."""
        return Result(self.with_text(""), self.spans)


def moved(span: Span, samples: int) -> Span:
    """The span, so much later."""
    words = tuple(Word(word.start_samples + samples, word.end_samples + samples, word.text) for word in span.words)
    return replace(
        span, start_samples=span.start_samples + samples, end_samples=span.end_samples + samples, words=words
    )
