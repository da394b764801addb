"""What a recogniser says, in the terms of retold speech and back, with its positions moved to those of the session."""

from gateway.core.retold_speech import Heard, Kind
from shared.wire import asr

Spoken = asr.SpeechStarted | asr.Partial | asr.Candidate | asr.Resumed | asr.Endpoint | asr.Final


def moved(message: Spoken, by_samples: int) -> Spoken:
    """The message with all its positions so much later."""
    if not isinstance(message, asr.Final):
        return message.model_copy(update={"at_samples": message.at_samples + by_samples})
    by_s = by_samples / asr.STREAM_RATE
    segments = [one.model_copy(update={"start": one.start + by_s, "end": one.end + by_s}) for one in message.segments]
    places = {name: getattr(message, name) + by_samples for name in ("start_samples", "end_samples")}
    return message.model_copy(update={**places, "segments": segments})


def heard_of(message: Spoken) -> Heard:
    """What it tells."""
    match message:
        case asr.SpeechStarted():
            return Heard(Kind.STARTED, message.utterance_id, message.at_samples)
        case asr.Partial():
            return Heard(Kind.PARTIAL, message.utterance_id, message.at_samples, message.text, message.committed)
        case asr.Candidate():
            return Heard(Kind.CANDIDATE, message.utterance_id, message.at_samples, message.text)
        case asr.Resumed():
            return Heard(Kind.RESUMED, message.utterance_id, message.at_samples)
        case asr.Endpoint():
            return Heard(Kind.ENDPOINT, message.utterance_id, message.at_samples)
        case asr.Final():
            return Heard(Kind.FINAL, message.utterance_id, message.end_samples, message.text)


def told_of(told: Heard, message: Spoken) -> Spoken:
    """What is to be told, in the words of the message that brought it."""
    if told.kind is Kind.RESUMED:
        return asr.Resumed(utterance_id=told.utterance_id, at_samples=told.at_samples)
    committed = {"committed": told.committed} if isinstance(message, asr.Partial) else {}
    return message.model_copy(update={"utterance_id": told.utterance_id, **committed})
