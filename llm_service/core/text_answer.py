"""Read one text completion, OpenAI's older form, out of an upstream's events.

All that is said of the other reader (answer) holds; only the text lies elsewhere.
"""

from llm_service.core.answer import AnswerReader, Delta, Failed, Failure, Finished, Part, reason_of


class TextReader(AnswerReader):
    """Payloads of `/v1/completions` in, parts out."""

    def _read_choice(self, choice: object) -> list[Part]:
        if not isinstance(choice, dict):
            return [Failed(Failure.GARBLED)]
        text, reason = choice.get("text"), reason_of(choice)
        parts: list[Part] = [Delta(text)] if isinstance(text, str) and text else []
        if reason:
            self.is_finished = True
            parts.append(Finished("length" if reason == "length" else "stop"))
        return parts
