"""What stood in a session: told from its records, whatever was left unsaid."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.records import Noted, Opened, Posted, Record, Sounded, Spoken, Told
from gateway.core.replay import Place
from gateway.core.standing import Standing
from gateway.core.trace import Trace, Voiced
from gateway.core.transitions import State

pytestmark = pytest.mark.core

OPENED = Opened("ses_1", "somebody", "secret", "binary")


def traced(*records: Record) -> Trace:
    trace = Trace()
    for record in records:
        trace.take(record)
    return trace


def message(kind: str, **fields: object) -> dict[str, object]:
    return {"type": kind, **fields}


def posted(kind: str, **fields: object) -> Posted:
    return Posted(json.dumps(message(kind, **fields)))


def told(seq: int, kind: str, **fields: object) -> Told:
    return Told(json.dumps({"type": kind, "seq": seq, **fields}))


def token(text: str, reply_id: str = "rpl_1") -> Posted:
    return posted("token", reply_id=reply_id, text=text)


SPEECH = st.lists(st.text("ab", min_size=1, max_size=3), min_size=1, max_size=8)


@given(SPEECH, st.data())
def test_what_was_posted_and_not_told_is_known_in_order_however_text_was_put_together(
    texts: list[str], data: st.DataObject
) -> None:
    trace = traced(posted("ready"), *map(token, texts), posted("reply_done"))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(texts)))))
    trace.take(told(1, "ready"))
    at = 0
    for seq, end in enumerate(cuts, 2):
        trace.take(told(seq, "token", reply_id="rpl_1", text="".join(texts[at:end])))
        at = end

    assert [one.get("text", "done") for one in trace.unsent] == [*texts[at:], "done"]
    assert trace.voiced.text == "".join(texts)
    assert trace.seq == 1 + len(cuts)


def test_segments_and_their_audio_are_those_of_the_answer_that_was_sent_last() -> None:
    trace = traced(
        token("Old."),
        told(1, "segment", reply_id="rpl_1", text="Old."),
        Sounded(b"abcd", 2, 0),
        token("New one.", "rpl_2"),
        told(2, "segment", reply_id="rpl_2", text="New"),
        Sounded(b"abcd", 2, 0),
        Sounded(b"ab", 1, 40),
        told(3, "segment", reply_id="rpl_2", text="one."),
        Noted("heard", {"reply_id": "rpl_2", "ms": 70}),
        Noted("heard", {"reply_id": "rpl_1", "ms": 9_000}),
    )

    assert trace.voiced == Voiced("rpl_2", "New one.", [("New", 3), ("one.", 0)], 70)
    assert trace.voiced.samples == 3


def test_audio_in_json_has_a_number_of_its_own_and_audio_without_a_segment_is_nobodys() -> None:
    trace = traced(told(1, "ready"), Sounded(json.dumps({"type": "audio_response", "seq": 2}), 2, 0))

    assert trace.seq == 2
    assert trace.voiced == Voiced()
    assert trace.replay.place_after(1, 0) == Place(1)


def test_a_message_that_nobody_posted_takes_nothing_away() -> None:
    assert list(traced(told(1, "pong"), posted("error")).unsent) == [message("error")]


def test_the_newest_note_of_a_name_stands() -> None:
    standing = Standing(State.USER_SPEAKING, "trn_1", utterance_id="utt_1")
    trace = traced(
        OPENED,
        Noted("wants", {"next": "a"}),
        Noted("wants", {"next": "b"}),
        Noted("prompt", {"reply_id": "rpl_1", "messages": []}),
        Noted("speech", {"reply_id": "rpl_1", "voice": "en"}),
        posted("degraded", level="no_hq"),
        Noted("history", {"turns": [["trn_0", "hi", "hello"]]}),
        Noted("stand", Standing().as_fields()),
        Noted("stand", standing.as_fields()),
    )

    assert trace.opened == OPENED
    assert (trace.wants, trace.standing) == ({"next": "b"}, standing)
    assert trace.prompt == {"reply_id": "rpl_1", "messages": []}
    assert (trace.speech, trace.level) == ({"reply_id": "rpl_1", "voice": "en"}, "no_hq")
    assert trace.history == {"turns": [["trn_0", "hi", "hello"]]}
    assert trace.is_under_way
    assert not replace(trace, standing=Standing()).is_under_way


def test_turns_that_are_not_known_to_be_stored_are_owed() -> None:
    ended = [Noted("ended", {"turn_id": turn_id}) for turn_id in ("trn_1", "trn_2")]
    trace = traced(*ended, Noted("stored", {"turn_id": "trn_1"}))

    assert list(trace.turns) == ["trn_2"]
    assert trace.is_under_way


def test_what_is_being_said_is_kept_until_it_is_understood() -> None:
    begun: list[Record] = [
        Noted("utterance", {"at_s": 1.5, "audio_bytes": 100}),
        Spoken(b"abcd"),
        Noted("asked", {"kind": "flush"}),
        Noted("owed", {"owed": [{"told_as": "utt_1"}]}),
        Spoken(b"ef"),
    ]
    trace = traced(*begun)

    assert trace.spoken == [b"abcd", {"kind": "flush"}, b"ef"]
    assert trace.utterance == {"at_s": 1.5, "audio_bytes": 100, "owed": [{"told_as": "utt_1"}]}
    assert trace.audio_bytes == 106
    over = traced(*begun, Noted("silence", {"audio_bytes": 200}))
    assert (over.spoken, over.utterance, over.audio_bytes) == ([], {}, 200)


def test_a_note_of_a_name_that_nobody_knows_changes_nothing() -> None:
    trace = traced(OPENED, Noted("weather", {"is": "fine"}))
    assert (trace.opened, trace.standing, trace.wants) == (OPENED, Standing(), {})
