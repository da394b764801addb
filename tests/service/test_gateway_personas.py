"""Personas: what is built in, and what is said of a file that is wrong."""

import json
import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from gateway.personas import InvalidPersona, Persona, load_personas

pytestmark = pytest.mark.service

PROMPTS = {
    "assistant": "You are Parley, a friendly voice assistant. You answer briefly and aloud, in the language of the "
    "speaker.",
    "harry_potter": "You are Harry Potter, a young wizard at Hogwarts. You are brave, warm and a little shy, and you "
    "answer briefly.",
    "iron_man": "You are Tony Stark, known as Iron Man. You are a witty engineer, confident and quick, and you answer "
    "briefly.",
    "sun_wukong": "你是孙悟空，花果山水帘洞的美猴王，齐天大圣。你说话豪爽风趣，自称俺老孙，回答简短。",
}
FACES = {"assistant": "💬", "harry_potter": "🧙‍♂️", "iron_man": "🤖", "sun_wukong": "🐵"}
VOICES = {
    "assistant": ("en", "en-us"),
    "harry_potter": ("en", "en-gb+m1"),
    "iron_man": ("en", "en-us+m7"),
    "sun_wukong": ("zh", "cmn+m3"),
}
ROBIN = {
    "id": "robin",
    "name": "Robin",
    "avatar": "🏹",
    "language": "en-GB",
    "voice": "en-gb",
    "system_prompt": "You are Robin.",
    "opening_line": "Good day.",
}


def write(folder: Path, name: str, fields: object) -> Path:
    path = folder / name
    path.write_text(json.dumps(fields), encoding="utf-8")
    return path


def test_four_personas_are_built_in_with_the_prompts_that_the_demo_model_knows() -> None:
    assert {found.id: found.system_prompt for found in load_personas().values()} == PROMPTS


def test_each_built_in_persona_has_its_face_its_language_and_its_voice() -> None:
    personas = load_personas()
    assert {key: found.avatar for key, found in personas.items()} == FACES
    assert {key: (found.language, found.voice) for key, found in personas.items()} == VOICES


def test_the_order_is_that_of_the_file_names() -> None:
    assert list(load_personas()) == sorted(PROMPTS)


def test_a_folder_of_ones_own_is_read_and_other_files_in_it_are_not(tmp_path: Path) -> None:
    write(tmp_path, "robin.json", ROBIN)
    (tmp_path / "README.md").write_text("Mine.")
    assert load_personas(tmp_path) == {"robin": Persona.model_validate(ROBIN)}


def test_a_persona_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load_personas()["assistant"].name = "Somebody"  # type: ignore[misc]


@pytest.mark.parametrize("field", sorted(ROBIN))
def test_a_missing_field_is_named_with_its_file(tmp_path: Path, field: str) -> None:
    path = write(tmp_path, "robin.json", {key: value for key, value in ROBIN.items() if key != field})
    with pytest.raises(InvalidPersona, match=f"^{re.escape(str(path))}: {field}: Field required"):
        load_personas(tmp_path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", "Robin Hood"),
        ("name", "  "),
        ("avatar", ""),
        ("language", "english please"),
        ("voice", "en-gb+"),
        ("voice", "+m1"),
        ("voice", "../en"),
        ("system_prompt", 7),
        ("opening_line", ""),
        ("openingline", "Good day."),
    ],
)
def test_a_wrong_field_is_named_with_its_file(tmp_path: Path, field: str, value: object) -> None:
    path = write(tmp_path, "robin.json", {**ROBIN, field: value})
    with pytest.raises(InvalidPersona, match=f"^{re.escape(str(path))}: {field}: "):
        load_personas(tmp_path)


def test_a_file_that_is_not_named_after_its_id_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "robin.json", ROBIN)
    path = write(tmp_path, "robin_again.json", ROBIN)
    with pytest.raises(InvalidPersona, match=f"^{re.escape(str(path))}: id: it is 'robin'"):
        load_personas(tmp_path)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b'{\n"id": robin}', "line 2 is not JSON"),
        (b'{"id": "\xff"}', "not UTF-8"),
        (b"[]", "no object"),
    ],
)
def test_a_file_that_is_no_json_object_is_refused(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "robin.json"
    path.write_bytes(content)
    with pytest.raises(InvalidPersona, match=f"^{re.escape(str(path))}: .*{sentence}"):
        load_personas(tmp_path)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "robin.json"
    path.mkdir()
    with pytest.raises(InvalidPersona, match=f"^{re.escape(str(path))}: it cannot be read"):
        load_personas(tmp_path)


def test_a_folder_without_personas_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidPersona, match=f"^{re.escape(str(tmp_path))}: there is no persona"):
        load_personas(tmp_path)
