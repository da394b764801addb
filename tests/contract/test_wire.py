"""The wires: every message survives the way there and back, and nothing that a peer sends raises what it should not.

tests/cases/wire/*.jsonl hold one line a message, every field set, so that a diff shows any change of the protocol.
"""

import json
import re
import types
import typing
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from annotated_types import Ge, Le, MaxLen, MinLen
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from shared.errors import BadRequest, InvalidAudio, InvalidJson, InvalidMessage, MessageTooLarge, UnknownType
from shared.wire import asr, native, tts
from shared.wire.codec import MESSAGE_LIMIT_BYTES, Codec, Message, check_frame, load_object

pytestmark = pytest.mark.contract

GOLDEN = Path(__file__).parents[1] / "cases" / "wire"
WIRES: dict[str, tuple[Codec[Any], Codec[Any]]] = {
    "native": (native.CLIENT, native.SERVER),
    "asr": (asr.ASR_IN, asr.ASR_OUT),
    "tts": (tts.TTS_IN, tts.TTS_OUT),
}
CODECS = [codec for pair in WIRES.values() for codec in pair]
EVERY_MESSAGE = [
    pytest.param(codec, model, id=f"{wire}-{name}")
    for wire, pair in WIRES.items()
    for codec in pair
    for name, model in codec.models.items()
]


def golden(wire: str) -> list[str]:
    return (GOLDEN / f"{wire}.jsonl").read_text(encoding="utf-8").splitlines()


def example(codec: Codec[Any], name: str) -> dict[str, Any]:
    """The golden fields of a message."""
    wire, at = next((wire, pair.index(codec)) for wire, pair in WIRES.items() if codec in pair)
    lines = [json.loads(line) for line in golden(wire)]
    inward = len(WIRES[wire][0].models)
    found = next(fields for fields in (lines[inward:] if at else lines[:inward]) if fields["type"] == name)
    return dict(found)


def models_within(model: type[BaseModel]) -> list[type[BaseModel]]:
    """A model and those in its fields."""
    inner = [kind for field in model.model_fields.values() for kind in (field.annotation, *get_args(field.annotation))]
    nested = [kind for kind in inner if isinstance(kind, type) and issubclass(kind, BaseModel)]
    return [model, *(deeper for kind in nested for deeper in models_within(kind))]


def instances(model: type[BaseModel]) -> st.SearchStrategy[Any]:
    """Any valid instance; a field with a default is left out at times."""
    fields = model.model_fields
    required = {name: values(field.annotation, field) for name, field in fields.items() if field.is_required()}
    optional = {name: values(field.annotation, field) for name, field in fields.items() if not field.is_required()}
    return st.fixed_dictionaries(required, optional=optional).map(model.model_validate)


def values(kind: Any, field: FieldInfo) -> st.SearchStrategy[Any]:
    """Values that the field's type and bounds allow."""
    arguments = get_args(kind)
    if get_origin(kind) in (types.UnionType, typing.Union):
        return st.one_of(*(st.none() if one is type(None) else values(one, field) for one in arguments))
    if get_origin(kind) is list:
        return st.lists(values(arguments[0], field), max_size=3)
    if get_origin(kind) is Literal:
        return st.sampled_from(arguments)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return instances(kind)
    low, high, longest = bound(field, Ge), bound(field, Le), bound(field, MaxLen)
    if kind is float:
        return st.floats(low, high, allow_nan=False, allow_infinity=False)
    if kind is int:
        return st.integers(low, high)
    if kind is str and pattern_of(field):
        texts = st.from_regex(pattern_of(field), fullmatch=pattern_of(field).startswith("^"))
        return texts.filter(lambda text: longest is None or len(text) <= longest)
    if kind is str:
        return st.text(min_size=bound(field, MinLen) or 0, max_size=longest)
    return st.from_type(kind)


def bound(field: FieldInfo, kind: type[Ge | Le | MinLen | MaxLen]) -> Any:
    """The field's bound of one kind, or None."""
    names = {Ge: "ge", Le: "le", MinLen: "min_length", MaxLen: "max_length"}
    return next((getattr(one, names[kind]) for one in field.metadata if isinstance(one, kind)), None)


def pattern_of(field: FieldInfo) -> str:
    return next((one.pattern for one in field.metadata if getattr(one, "pattern", None)), "")


def test_the_messages_of_each_wire_are_told_apart_by_their_type_alone() -> None:
    for codec in CODECS:
        assert [name for name, model in codec.models.items() if model.type != name] == []
    with pytest.raises(AssertionError, match="called ping"):
        Codec([native.Ping, native.Ping])


@pytest.mark.parametrize(("codec", "model"), EVERY_MESSAGE)
@given(drawn=st.data(), seq=st.integers(0))
def test_a_message_survives_the_way_there_and_back(
    codec: Codec[Any], model: type[Message], drawn: st.DataObject, seq: int
) -> None:
    message = drawn.draw(instances(model))
    text = message.to_json(seq=seq)
    assert "\n" not in text
    assert codec.decode(text) == message
    fields = json.loads(text)
    assert (list(fields)[:2], fields["type"], fields["seq"]) == (["type", "seq"], model.type, seq)
    assert codec.validate(fields | {"unknown": [fields]}) == message
    assert codec.validate({"op" if name == "type" else name: value for name, value in fields.items()}) == message


@pytest.mark.parametrize("wire", WIRES)
def test_the_golden_lines_are_what_the_messages_encode_to_byte_for_byte(wire: str) -> None:
    inward, outward = WIRES[wire]
    lines = golden(wire)
    assert [*inward.models, *outward.models] == [json.loads(line)["type"] for line in lines]
    for at, line in enumerate(lines):
        message = (inward if at < len(inward.models) else outward).decode(line)
        more = {"seq": json.loads(line)["seq"]} if '"seq"' in line else {}
        assert line == message.to_json(**more)


@pytest.mark.parametrize(("codec", "model"), EVERY_MESSAGE)
def test_a_golden_line_sets_every_field(codec: Codec[Any], model: type[Message]) -> None:
    def unset(message: BaseModel) -> list[str]:
        inner = [value for value in vars(message).values() if isinstance(value, BaseModel)]
        return [name for name, value in message if value is None] + [name for one in inner for name in unset(one)]

    assert unset(codec.validate(example(codec, model.type))) == []


@pytest.mark.parametrize("codec", CODECS)
@given(name=st.one_of(st.text(), st.none(), st.integers(), st.lists(st.text())))
def test_an_unknown_type_is_refused_with_the_known_ones(codec: Codec[Any], name: object) -> None:
    if isinstance(name, str) and name in codec.models:
        return
    with pytest.raises(UnknownType) as refusal:
        codec.decode(json.dumps({"type": name}))
    assert refusal.value.message.endswith(f"known: {', '.join(codec.models)}.")
    assert refusal.value.param == "type"


def test_the_messages_of_the_other_direction_are_unknown() -> None:
    with pytest.raises(UnknownType, match="'pong'; known: config, audio_chunk, text"):
        native.CLIENT.decode('{"type": "pong"}')


def test_a_type_goes_before_an_op() -> None:
    assert native.Ping() == native.CLIENT.decode('{"op": "clear", "type": "ping"}')


@pytest.mark.parametrize(("codec", "model"), [(native.CLIENT, native.Config), (asr.ASR_IN, asr.Configure)])
def test_the_sample_rate_has_a_second_name_that_is_read_and_never_written(
    codec: Codec[Any], model: type[Message]
) -> None:
    message = codec.decode('{"type": "config", "sampleRate": 48000}')
    assert message == model.model_validate({"sample_rate": 48_000})
    assert message.to_json() == '{"type": "config", "sample_rate": 48000}'


@pytest.mark.parametrize("filler", ["x", "é", "語", "🙂"])
def test_a_text_frame_has_a_mebibyte_at_most_counted_in_bytes(filler: str) -> None:
    room = MESSAGE_LIMIT_BYTES - len('{"type": "ping", "pad": ""}')
    whole, rest = divmod(room, len(filler.encode()))
    at_limit = f'{{"type": "ping", "pad": "{filler * whole}{"x" * rest}"}}'
    assert len(at_limit.encode()) == MESSAGE_LIMIT_BYTES == 1_048_576
    assert native.CLIENT.decode(at_limit) == native.Ping()
    with pytest.raises(MessageTooLarge, match="at most 1048576 bytes; this one has 1048577"):
        native.CLIENT.decode(at_limit + " ")


def test_a_binary_frame_has_a_mebibyte_at_most() -> None:
    at_limit = bytes(MESSAGE_LIMIT_BYTES)
    assert check_frame(b"") == b""
    assert check_frame(at_limit) is at_limit
    with pytest.raises(MessageTooLarge, match="at most 1048576 bytes; this one has 1048577"):
        check_frame(at_limit + b"\0")


RATES = [(8_000, 7_999), (48_000, 48_001)]
LIMITS: list[tuple[Codec[Any], str, str, Any, Any]] = [
    (tts.TTS_IN, "start", "reply_id", "r" * 64, "r" * 65),
    (tts.TTS_IN, "start", "reply_id", "r", ""),
    (tts.TTS_IN, "start", "reply_id", "!~", "a b"),
    (tts.TTS_IN, "start", "reply_id", "r", "r\n"),
    (native.CLIENT, "text", "text", "x" * 8_000, "x" * 8_001),
    (native.CLIENT, "text", "text", "x", " \n"),
    (native.CLIENT, "edit", "text", "語" * 8_000, "語" * 8_001),
    (native.CLIENT, "played", "ms", 0, -1),
    *((native.CLIENT, "config", "sample_rate", within, beyond) for within, beyond in RATES),
    *((asr.ASR_IN, "config", "sample_rate", within, beyond) for within, beyond in RATES),
    *((tts.TTS_IN, "start", "sample_rate", within, beyond) for within, beyond in RATES),
    (tts.TTS_IN, "start", "speed", 0.25, 0.249),
    (tts.TTS_IN, "start", "speed", 4.0, 4.001),
]


@pytest.mark.parametrize(("codec", "name", "field", "within", "beyond"), LIMITS)
def test_a_field_is_taken_at_its_limit_and_refused_beyond(
    codec: Codec[Any], name: str, field: str, within: object, beyond: object
) -> None:
    fields = example(codec, name)
    assert getattr(codec.validate(fields | {field: within}), field) == within
    with pytest.raises(InvalidMessage, match=f"^{name}.{field}: ") as refusal:
        codec.validate(fields | {field: beyond})
    assert refusal.value.param == field


@pytest.mark.parametrize(("codec", "model"), EVERY_MESSAGE)
def test_every_bound_in_the_models_is_kept(codec: Codec[Any], model: type[Message]) -> None:
    for part in models_within(model):
        for name, field in part.model_fields.items():
            for kind, step in ((Ge, -1), (Le, 1), (MinLen, -1), (MaxLen, 1)):
                limit = bound(field, kind)
                if limit is None:
                    continue
                within, beyond = (limit, limit + step) if kind in (Ge, Le) else ("x" * limit, "x" * (limit + step))
                part.__pydantic_validator__.validate_assignment(part.model_construct(), name, within)
                with pytest.raises(ValueError, match=f"\n{name}"):
                    part.__pydantic_validator__.validate_assignment(part.model_construct(), name, beyond)


def test_a_nested_field_is_named_with_its_place() -> None:
    with pytest.raises(InvalidMessage, match=r"^config\.audio_out\.sample_rate: ") as refusal:
        native.CLIENT.decode('{"type": "config", "audio_out": {"sample_rate": 7999}}')
    assert refusal.value.param == "audio_out.sample_rate"


HOSTILE = [
    "", " ", "\0", "{", "[]", "null", "NaN", '"\\ud800"', "{}", '{"type"', '{"type": "ping"}\0', "{'type': 'ping'}",
    "[" * 100_000, '{"a":' * 100_000, '{"type": ' + "9" * 5_000 + "}", "\ufeff{}",
]  # fmt: skip
WITH_ODD_FIELDS = [
    '{"type": "\\ud800"}', '{"type": {"\\ud800": 1}}', '{"type": true}', '{"type": 1e999}', '{"type": NaN}',
    '{"type": ' + "[" * 900 + "]" * 900 + "}", '{"type": ' + "9" * 4_000 + "}",
    '{"type": "text", "text": null}', '{"type": "config", "voice": "\\ud800", "sample_rate": "\\ud800"}',
    '{"type": "played", "reply_id": "r", "ms": NaN}', '{"type": "played", "reply_id": "r", "ms": 1e999}',
    '{"type": "config", "endpointing": {"silence_rms": NaN}}', '{"type": "config", "endpointing": []}',
    '{"type": "config", "sample_rate": -Infinity}',
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_what_is_no_json_object_is_refused(text: str) -> None:
    with pytest.raises(BadRequest) as refusal:
        native.CLIENT.decode(text)
    assert isinstance(refusal.value, InvalidJson if text != "{}" else UnknownType)


@pytest.mark.parametrize("text", WITH_ODD_FIELDS)
def test_odd_fields_are_refused_with_a_message_that_can_be_sent(text: str) -> None:
    with pytest.raises((UnknownType, InvalidMessage)) as refusal:
        native.CLIENT.decode(text)
    assert len(refusal.value.message.encode()) < 500


@pytest.mark.parametrize(("codec", "model"), EVERY_MESSAGE)
def test_half_a_character_in_any_text_is_read_as_a_sign_for_it_and_written_as_one(
    codec: Codec[Any], model: type[Message]
) -> None:
    fields = example(codec, model.type)
    for name, text in fields.items():
        if name == "type" or not isinstance(text, str):
            continue
        for half in ("\ud83d", "\ude00"):
            try:
                read = codec.decode(json.dumps(fields | {name: half}))
            except InvalidMessage as refusal:  # a field that takes some words only
                assert refusal.message.encode()
            else:
                assert getattr(read, name) == "\ufffd"
                assert json.loads(read.model_copy(update={name: half}).to_json().encode())[name] == "\ufffd"


TEXT_WITH_HALVES = st.text(st.characters() | st.characters(categories=["Cs"]), max_size=40)


@given(texts=st.lists(TEXT_WITH_HALVES, max_size=4), is_escaped=st.booleans())
def test_halves_anywhere_are_replaced_and_no_other_sign_is_touched(texts: list[str], is_escaped: bool) -> None:
    read = load_object(json.dumps({"texts": texts, "more": {"deep": [texts]}}, ensure_ascii=is_escaped))
    assert read["more"] == {"deep": [read["texts"]]}
    for text, found in zip(texts, read["texts"], strict=True):
        joined = "".join(pair if len(pair) == 1 else joined_pair(pair) for pair in pairs_in(text))
        assert found == "".join("\ufffd" if "\ud800" <= sign <= "\udfff" else sign for sign in joined)


def pairs_in(text: str) -> list[str]:
    """The signs of a text, halves that belong together as one."""
    return re.findall("[\ud800-\udbff][\udc00-\udfff]|.", text, re.DOTALL)


def joined_pair(pair: str) -> str:
    return chr(0x10000 + (ord(pair[0]) - 0xD800) * 0x400 + ord(pair[1]) - 0xDC00)


def test_half_a_character_in_a_name_is_replaced_too() -> None:
    assert load_object('{"\\ud83d": {"a\\ude00": NaN}, "b": "\\ud83d\\ude00 \\uD55C \\\\ud83d"}').keys() == {
        "\ufffd",
        "b",
    }
    assert load_object('{"b": "\\ud83d\\ude00 \\uD55C \\\\ud83d"}') == {"b": "😀 한 \\ud83d"}
    assert native.CLIENT.decode('{"type": "ping", "\\ud83d": 1}') == native.Ping()


def test_two_halves_that_come_side_by_side_are_written_as_one_character() -> None:
    assert '"delta": "\U0001f600!"' in tts.Text(reply_id="r", delta="\ud83d" + "\ude00!").to_json()


def test_the_last_of_two_equal_keys_counts() -> None:
    assert native.CLIENT.decode('{"type": "clear", "type": "ping"}') == native.Ping()


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)),
    max_leaves=8,
)


@given(text=st.text())
def test_any_text_is_an_object_or_a_bad_request(text: str) -> None:
    try:
        assert isinstance(load_object(text), dict)
    except BadRequest as refusal:
        assert isinstance(refusal, InvalidJson)


@pytest.mark.parametrize("codec", CODECS)
@given(drawn=st.data())
def test_any_json_in_any_field_is_a_message_or_a_bad_request(codec: Codec[Any], drawn: st.DataObject) -> None:
    model = drawn.draw(st.sampled_from(list(codec.models.values())))
    names = st.sampled_from([*model.model_fields, "more"])
    fields = example(codec, model.type) | drawn.draw(st.dictionaries(names, JSON))
    try:
        assert isinstance(codec.decode(json.dumps(fields)), model)
    except InvalidMessage as refusal:
        assert len(refusal.message.encode()) < 500


@given(reply_id=st.from_regex(r"[\x21-\x7e]{1,64}", fullmatch=True), pcm=st.binary().map(lambda pcm: pcm * 2))
def test_audio_survives_the_way_there_and_back(reply_id: str, pcm: bytes) -> None:
    assert tts.decode_audio(tts.encode_audio(reply_id, pcm)) == (reply_id, pcm)


@given(frame=st.binary(max_size=300))
def test_any_binary_frame_is_audio_of_a_reply_or_invalid(frame: bytes) -> None:
    try:
        reply_id, pcm = tts.decode_audio(frame)
    except InvalidAudio:
        return
    assert len(pcm) % 2 == 0
    assert tts.encode_audio(reply_id, pcm) == frame


@pytest.mark.parametrize(
    "frame", [b"", b"\x01", b"\x05rpl", b"\xff" * 255, b"\x02\xc3\xa9\0\0", b"\x01r\0", b"\x01r\0\0\0"]
)
def test_a_frame_without_a_name_or_with_half_a_sample_is_refused(frame: bytes) -> None:
    with pytest.raises(InvalidAudio):
        tts.decode_audio(frame)
