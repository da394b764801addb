"""The parameters of a conversation: how long a state may last."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ConversationParams:
    """How long each state may last, in seconds."""

    utterance_timeout_s: float = 40.0  # above the recogniser's own longest utterance
    final_timeout_s: float = 3.0
    reply_timeout_s: float = 20.0
    playout_stall_s: float = 10.0
    overlap_s: float = 0.15  # speech over an answer that lasts so long is a barge-in
    passes_backchannels: bool = False  # True: the answer pauses at such speech, and goes on after a mere remark
    backchannel_s: float = 0.8  # then speech of which nothing is understood is a barge-in after so long
    barge_in_words: int = 1  # so many understood words are one at once
    speculates: bool = True  # answers are prepared at the first pause that could be the end
    speculations_per_turn: int = 4  # so many at most: what is made of an answer that is dropped is made for nothing
    replies: bool = True  # False: transcription only
    apology: str = ""  # said when no answer can be made; nothing is said without
