"""Requests that are told to be the same are read as the same by every route."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from llm_service.completions import CompletionRequest
from llm_service.core.fingerprint import DEFAULTS, WITHOUT_EFFECT, fingerprint
from llm_service.core.markers import MarkerBreaker
from llm_service.engines.base import Manner
from llm_service.openai_wire import ChatRequest
from llm_service.plain import PlainRequest
from shared.errors import ParleyError

pytestmark = pytest.mark.shell

ROUTES: list[type[BaseModel]] = [ChatRequest, CompletionRequest, PlainRequest]
NAMES = sorted({*WITHOUT_EFFECT, *DEFAULTS, *(name for route in ROUTES for name in route.model_fields)})
DEFAULT_VALUES = [json.loads(text) for text in sorted(set(DEFAULTS.values()))]
SAID = {"messages": [{"role": "user", "content": "hi"}], "prompt": "hi"}
MANNER = Manner(model=None)
few = st.sampled_from([None, None, True, 0, 1.0, 2, "a", [], *DEFAULT_VALUES])
bodies = st.dictionaries(st.sampled_from(NAMES), few, max_size=3).map(lambda fields: {**SAID, **fields})


def told(body: dict[str, Any]) -> bytes:
    return json.dumps(body).encode()


def asked(route: type[BaseModel], body: dict[str, Any]) -> object:
    """What the route makes of a body: what an engine is asked, and how it is told; None for one that it refuses."""
    try:
        match route.model_validate_json(told(body)):
            case ChatRequest() as chat:
                tools = (chat.tools, chat.tool_choice, chat.parallel_tool_calls)
                body = chat.for_engine(MANNER, MarkerBreaker(()), chat.model)
                return body, tools, chat.stream, chat.asks_usage()
            case CompletionRequest() as completion:
                return completion.for_engine(MANNER), completion.model, completion.stream, completion.asks_usage()
            case plain:
                return plain.model_dump(exclude={"session_id"})
    except (ValidationError, ParleyError):
        return None


@pytest.mark.parametrize("route", ROUTES)
@given(one=bodies, other=bodies)
def test_two_different_questions_never_meet(route: type[BaseModel], one: dict[str, Any], other: dict[str, Any]) -> None:
    first, second = asked(route, one), asked(route, other)

    if first and second and first != second:
        assert fingerprint(told(one)) != fingerprint(told(other))


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [None, *DEFAULT_VALUES], ids=repr)
def test_a_field_that_does_not_count_changes_nothing_that_is_asked(
    route: type[BaseModel], name: str, value: Any
) -> None:
    with_it, without = {**SAID, name: value}, {one: said for one, said in SAID.items() if one != name}

    if fingerprint(told(with_it)) == fingerprint(told(without)):
        assert asked(route, with_it) in (None, asked(route, without))
