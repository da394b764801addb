"""What the next prompt remembers: what the person said, and what they *heard* of each answer.

How much of it a model can read is decided by the llm_service, which counts tokens; the bounds here are wide, and keep
memory and requests small. What outgrows them is cut to three quarters at once, not turn by turn: the prompt's beginning
then stays the same for many turns, and a server that keeps what it has read reads only the new end.

Laws (tests/core/test_gateway_history.py): the persona comes first, then user and assistant in turn, the newest question
last; nothing stands there that was not said or heard; the whole never grows beyond its bounds, the persona and the
newest question excepted, which are never cut; while a bound cuts nothing, a prompt begins with all that stood before
the newest question of the one before; when a turn is rewound, all is as if it and what followed had never been.
"""

from collections import deque
from dataclasses import astuple, dataclass
from typing import Any

_KEPT_SHARE = (3, 4)


@dataclass(frozen=True, slots=True)
class _Told:
    """A turn: what was said, and what was heard of the answer."""

    turn_id: str
    said: str
    heard: str

    @property
    def chars(self) -> int:
        return len(self.said) + len(self.heard)


class History:
    """The turns of a conversation: at most `max_turns`, with the newest question at most `max_chars` characters."""

    def __init__(self, system_prompt: str, max_turns: int = 200, max_chars: int = 64_000) -> None:
        self._system_prompt = system_prompt
        self._opening = ""
        self._max_turns = max_turns
        self._max_chars = max_chars
        self._turns: deque[_Told] = deque()
        self._chars = 0

    def add(self, user_text: str, heard_text: str, turn_id: str = "") -> None:
        """Keep a turn. One without a question is none."""
        if not user_text.strip():
            return
        self._turns.append(_Told(turn_id, user_text, heard_text))
        self._chars += self._turns[-1].chars
        if len(self._turns) > self._max_turns or self._chars > self._max_chars:
            self._forget_oldest()

    def messages(self, user_text: str) -> list[dict[str, str]]:
        """The messages (of the OpenAI API) that ask `user_text`; the oldest turns are left out until the rest fits."""
        turns = list(self._turns)
        asked = _asked(turns, user_text)
        while turns and sum(len(message["content"]) for message in asked) > self._max_chars:
            del turns[0]
            asked = _asked(turns, user_text)
        return [_message("system", self._system_prompt + self._opening), *asked]

    def open_with(self, line: str) -> None:
        """The persona said this before anybody asked: it is told so, where every model can read it."""
        self._opening = f"\n\nYou have just opened this conversation with: {line.strip()}" if line.strip() else ""

    def knows(self, turn_id: str) -> bool:
        """Whether this turn is remembered."""
        return any(turn.turn_id == turn_id for turn in self._turns)

    def rewind(self, turn_id: str) -> None:
        """Forget this turn and all after it; nothing when it is not remembered."""
        while self.knows(turn_id):
            self._chars -= self._turns.pop().chars

    def as_fields(self) -> dict[str, Any]:
        """All but the persona, as JSON can hold it."""
        return {"opening": self._opening, "turns": [list(astuple(turn)) for turn in self._turns]}

    def take_up(self, fields: dict[str, Any]) -> None:
        """Remember what another one remembered."""
        self._opening = fields.get("opening", "")
        for turn_id, said, heard in fields.get("turns", []):
            self.add(said, heard, turn_id)

    def clear(self, system_prompt: str) -> None:
        """Somebody else answers from now on, and remembers nothing."""
        self._system_prompt, self._opening = system_prompt, ""
        self._turns.clear()
        self._chars = 0

    def _forget_oldest(self) -> None:
        share, of = _KEPT_SHARE
        most_turns, most_chars = -(-share * self._max_turns // of), share * self._max_chars // of
        while len(self._turns) > most_turns or self._chars > most_chars:
            self._chars -= self._turns.popleft().chars


def _asked(turns: list[_Told], user_text: str) -> list[dict[str, str]]:
    """User and assistant in turn; a question whose answer was not heard at all is asked again with the next one."""
    messages: list[dict[str, str]] = []
    unanswered: list[str] = []
    for turn in turns:
        unanswered.append(turn.said)
        if turn.heard.strip():
            messages += [_message("user", "\n".join(unanswered)), _message("assistant", turn.heard)]
            unanswered = []
    return [*messages, _message("user", "\n".join([*unanswered, user_text]))]


def _message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}
