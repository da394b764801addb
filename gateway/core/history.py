"""What the next prompt remembers: what the person said, and what they *heard* of each answer.

Laws (tests/core/test_gateway_history.py): the persona comes first, then user and assistant in turn, the newest question
last; nothing stands there that was not said or heard; the whole never grows beyond its bounds, the persona and the
newest question excepted, which are never cut.
"""

from collections import deque


class History:
    """The turns of a conversation: at most `max_turns`, with the newest question at most `max_chars` characters."""

    def __init__(self, system_prompt: str, max_turns: int = 8, max_chars: int = 2000) -> None:
        self._system_prompt = system_prompt
        self._max_chars = max_chars
        self._turns: deque[tuple[str, str]] = deque(maxlen=max_turns)

    def add(self, user_text: str, heard_text: str) -> None:
        """Keep a turn. One without a question is none."""
        if user_text.strip():
            self._turns.append((user_text, heard_text))

    def messages(self, user_text: str) -> list[dict[str, str]]:
        """The messages (of the OpenAI API) that ask `user_text`; the oldest turns are left out until the rest fits."""
        turns = list(self._turns)
        asked = _asked(turns, user_text)
        while turns and sum(len(message["content"]) for message in asked) > self._max_chars:
            del turns[0]
            asked = _asked(turns, user_text)
        return [_message("system", self._system_prompt), *asked]

    def clear(self, system_prompt: str) -> None:
        """Somebody else answers from now on, and remembers nothing."""
        self._system_prompt = system_prompt
        self._turns.clear()


def _asked(turns: list[tuple[str, str]], user_text: str) -> list[dict[str, str]]:
    """User and assistant in turn; a question whose answer was not heard at all is asked again with the next one."""
    messages: list[dict[str, str]] = []
    unanswered: list[str] = []
    for said, heard in turns:
        unanswered.append(said)
        if heard.strip():
            messages += [_message("user", "\n".join(unanswered)), _message("assistant", heard)]
            unanswered = []
    return [*messages, _message("user", "\n".join([*unanswered, user_text]))]


def _message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}
