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
    barge_in_words: int = 1  # so many understood words are one at once
    speculates: bool = True  # answers are prepared at the first pause that could be the end
    replies: bool = True  # False: transcription only
