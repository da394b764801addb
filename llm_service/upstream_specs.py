"""The servers that an operator lists in LLM_UPSTREAMS: read, checked, frozen.

Two forms are read. A JSON list: `[{"name": "grok", "url": "https://api.x.ai/v1", "key_env": "XAI_API_KEY"}]`. And a
compact text, servers parted by spaces, their fields by `;`, models by `,`:
`grok=https://api.x.ai/v1;key_env=XAI_API_KEY;models=grok-4,grok-4-mini`.
What is wrong is told by the server's name and the field; a key never stands in such a sentence, in a repr or in a log,
nor does a text that may be one because it stands where a name should be.
"""

import json
import os
import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

import httpx
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
_FIELD = re.compile(r"[a-z_]{1,32}")
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")  # as they are named by custom; what looks otherwise may be a key
Kind = Literal["auto", "chat", "completion"]


def _is_nameable(model: str) -> str:
    if not model.isprintable() or any(sign.isspace() for sign in model):
        raise ValueError("a model's name has no spaces and no control characters")
    return model


Model = Annotated[str, Field(min_length=1, max_length=256), AfterValidator(_is_nameable)]


class UpstreamSpec(BaseModel):
    """One server. What is left out of the bounds is as the service's own settings say."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    name: str = Field(pattern=f"^{_NAME.pattern}$", description="What requests call it: `name/model`.")
    url: str = Field(
        pattern=r"^https?://[^/\s@?#]+(/[^\s?#]*)?$",
        description="Its address; `/v1` is added to one without a path. A key has no place in it.",
    )
    key: SecretStr | None = Field(None, description="The key that it is shown.")
    models: tuple[Model, ...] = Field(
        (), max_length=256, description="Its models, the first one its own choice; it is asked for them unless told."
    )
    kind: Kind = Field(
        "auto",
        description="How it is asked: by chat completions (`chat`), by llama.cpp's older `/completion`, or by that only"
        " when it has no chat completions (`auto`).",
    )
    takes_tools: bool = Field(True, description="Whether it takes `tools` and `response_format`.")
    connect_timeout_s: float | None = Field(None, gt=0, le=60)
    first_token_timeout_s: float | None = Field(None, gt=0, le=3600)
    idle_timeout_s: float | None = Field(None, gt=0, le=600)
    max_requests: int | None = Field(None, ge=1, le=10_000)
    answer_limit: int | None = Field(None, ge=1, le=100_000_000)

    @field_validator("url")
    @classmethod
    def _is_address(cls, url: str) -> str:
        return address(url)

    @field_validator("key")
    @classmethod
    def _is_sendable(cls, key: SecretStr | None) -> SecretStr | None:
        return sendable(key)

    def bounds(self) -> dict[str, float | int]:
        """The bounds that are its own."""
        names = ("connect_timeout_s", "first_token_timeout_s", "idle_timeout_s", "max_requests", "answer_limit")
        return {name: value for name in names if (value := getattr(self, name)) is not None}


def address(url: str) -> str:
    """The address, when it can be connected to; ValueError for a port or a host that is none."""
    try:
        parts = httpx.URL(url)
        is_sound = bool(parts.host) and (parts.port is None or 0 < parts.port < 65536)
    except (httpx.InvalidURL, ValueError):
        is_sound = False
    if not is_sound:
        raise ValueError("this is no address of a server")
    return url


def sendable(key: SecretStr | None) -> SecretStr | None:
    """The key; raises ValueError when no HTTP header can carry it, without saying what it is."""
    if key and not re.fullmatch(r"[!-~]+", key.get_secret_value()):
        raise ValueError("a key is made of visible ASCII characters")
    return key


def parse_upstreams(given: object) -> tuple[UpstreamSpec, ...]:
    """The servers in LLM_UPSTREAMS; raises ValueError with a sentence that names the server and the field."""
    listed = _listed(given.strip()) if isinstance(given, str) else given
    if not isinstance(listed, list | tuple):
        raise ValueError("it is no list of servers")  # noqa: TRY004 - the settings turn it into their own error
    specs = tuple(_spec(one, place) for place, one in enumerate(listed, 1))
    names = [spec.name for spec in specs]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"server {twice!r}: name: it is given twice")
    return specs


def parse_names(given: object) -> tuple[str, ...]:
    """`a, b/model` or a list of such names."""
    parts = given.replace(",", " ").split() if isinstance(given, str) else given
    if not isinstance(parts, list | tuple) or not all(isinstance(part, str) for part in parts):
        raise ValueError("it is no list of names")
    return tuple(parts)


def _listed(text: str) -> Sequence[object]:
    if not text.startswith(("[", "{")):
        return [_compact(entry, place) for place, entry in enumerate(text.split(), 1)]
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("it is not JSON") from None  # the reason would quote the text, and with it the keys
    return found if isinstance(found, list) else [found]


def _compact(entry: str, place: int) -> dict[str, Any]:
    """One server of the compact text."""
    first, *rest = entry.split(";")
    name, equals, url = first.partition("=")
    if not equals:
        raise ValueError(f"server {place}: it has no address")
    fields: dict[str, Any] = {"name": name, "url": url}
    for part in filter(None, rest):
        field, has_value, value = part.partition("=")
        if not has_value:
            raise ValueError(f"{_called(fields, place)}: a part of it has no `=`")
        fields[field] = value.split(",") if field == "models" else value
    return fields


def _spec(given: object, place: int) -> UpstreamSpec:
    if isinstance(given, UpstreamSpec):
        return given
    if not isinstance(given, dict):
        raise ValueError(f"server {place}: it is no object")  # noqa: TRY004 - as above
    fields = {str(name): value for name, value in given.items()}
    called = _called(fields, place)
    try:
        return UpstreamSpec.model_validate(_with_key(fields, called))
    except ValidationError as failure:
        faults = list(_faults(failure))
    raise ValueError(f"{called}: {'; '.join(faults)}")


def _with_key(fields: dict[str, Any], called: str) -> dict[str, Any]:
    """The fields with the key that `key_env` names, read from the environment."""
    if "key_env" not in fields:
        return fields
    variable = fields["key_env"]
    if "key" in fields:
        raise ValueError(f"{called}: key_env: the key is given as well")
    if not isinstance(variable, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", variable):
        raise ValueError(f"{called}: key_env: it is no name of a variable")
    if not os.environ.get(variable):
        which = f"the variable {variable}" if _VARIABLE.fullmatch(variable) else "that variable"
        raise ValueError(f"{called}: key_env: {which} is not set")
    return {name: value for name, value in fields.items() if name != "key_env"} | {"key": os.environ[variable]}


def _faults(failure: ValidationError) -> Iterator[str]:
    for fault in failure.errors(include_url=False, include_input=False):
        path = [str(step) for step in fault["loc"]]
        is_ours = all(_FIELD.fullmatch(step) or step.isdecimal() for step in path)
        yield f"{'.'.join(path) if is_ours else 'a field'}: {fault['msg'][:1].lower()}{fault['msg'][1:]}"


def _called(fields: dict[str, Any], place: int) -> str:
    name = fields.get("name")
    return f"server {name!r}" if isinstance(name, str) and _NAME.fullmatch(name) else f"server {place}"
