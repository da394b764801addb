"""The characters that Parley can be: one JSON file each, read once when the gateway starts.

A persona decides what the answer sounds like: its name, its picture, its language, its voice and the system prompt that
stays at the head of every conversation. This file checks what it reads and never guesses: a wrong file stops the
start with a sentence that names the file and the field.

Laws: a file is named after its id, so ids are unique; the order is that of the file names, whatever the disk says.
"""

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

BUILT_IN = Path(__file__).parent / "personas"


class InvalidPersona(ValueError):
    """A persona file cannot be used; the message names the file and what is wrong with it."""


class Persona(BaseModel):
    """One character. An unknown field is refused: it is most likely a known one, misspelt."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)
    id: str = Field(pattern=r"^[a-z0-9_]{1,64}$", description="The name of the file without `.json`.")
    name: str = Field(min_length=1, max_length=64, description="What people call it.")
    avatar: str = Field(min_length=1, max_length=16, description="One emoji.")
    language: str = Field(
        max_length=16, pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$", description="BCP 47; what it speaks by nature."
    )
    voice: str = Field(
        max_length=128,
        pattern=r"^[A-Za-z0-9][\w.-]*(\+[\w.-]+)?$",
        description="A voice of the tts_service: `name` or `name+variant`.",
    )
    system_prompt: str = Field(min_length=1, max_length=8_000, description="Who it is, told to the language model.")
    opening_line: str = Field(min_length=1, max_length=500, description="What it says when a person chooses it.")


def load_personas(folder: Path = BUILT_IN) -> dict[str, Persona]:
    """The personas of `folder` by id; raises InvalidPersona when a file is wrong or there is none at all."""
    personas = [read_persona(path) for path in sorted(folder.glob("*.json"))]
    if not personas:
        raise InvalidPersona(f"{folder}: there is no persona here, that is, no file that ends in .json.")
    return {persona.id: persona for persona in personas}


def read_persona(path: Path) -> Persona:
    """The persona in one file; raises InvalidPersona."""
    try:
        persona = Persona.model_validate(_fields(path))
    except ValidationError as failure:
        first = failure.errors(include_url=False, include_input=False)[0]
        raise InvalidPersona(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}.") from None
    if persona.id != path.stem:
        raise InvalidPersona(f"{path}: id: it is {persona.id!r}, but the file is called {path.stem!r}.")
    return persona


def _fields(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as failure:
        raise InvalidPersona(f"{path}: line {failure.lineno} is not JSON.") from None
    except UnicodeDecodeError:
        raise InvalidPersona(f"{path}: the text is not UTF-8.") from None
    except OSError as failure:
        raise InvalidPersona(f"{path}: it cannot be read ({failure.strerror}).") from None
    if not isinstance(found, dict):
        raise InvalidPersona(f"{path}: this is JSON, but no object.")
    return found
