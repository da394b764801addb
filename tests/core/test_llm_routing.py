"""Which upstreams may answer a request, by the model that it names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_service.core.routing import Place, Way, is_plain, ways

pytestmark = pytest.mark.core

LOCAL = Place("local", ("parley-demo",), is_closed=True, public_name="parley-demo")
OPENAI = Place("openai", ("gpt-a", "gpt-b"), is_closed=True)
GROK = Place("grok", None)  # its models are not known
ROUTER = Place("router", ("gpt-a", "openai/gpt-a", "other/gpt-c"))
ALL = (LOCAL, OPENAI, GROK, ROUTER)

names = st.sampled_from(["local", "openai", "grok", "router", "else"])
models = st.sampled_from(["", "gpt-a", "gpt-b", "openai/gpt-a", "parley-demo", "made-up"])
asked = st.one_of(st.none(), models, names, st.builds("{}/{}".format, names, models))
stand_in_lists = st.lists(st.one_of(names, st.builds("{}/{}".format, names, models)), max_size=5)
place_lists = st.lists(st.sampled_from(ALL), min_size=1, max_size=4, unique=True)


@pytest.mark.parametrize(
    ("model", "way"),
    [
        (None, Way("local", None)),
        ("", Way("local", None)),
        ("parley-demo", Way("local", None)),
        ("local/parley-demo", Way("local", None)),
        ("local", Way("local", None)),
        ("openai/gpt-b", Way("openai", "gpt-b")),
        ("openai", Way("openai", None)),
        ("gpt-b", Way("openai", "gpt-b")),
        ("grok/whatever", Way("grok", "whatever")),
        ("router/other/gpt-c", Way("router", "other/gpt-c")),
        ("other/gpt-c", Way("router", "other/gpt-c")),
        ("openai/gpt-a", Way("openai", "gpt-a")),
    ],
)
def test_a_model_is_found_where_its_name_says(model: str | None, way: Way) -> None:
    assert ways(model, ALL, ())[0] == way


@pytest.mark.parametrize("model", ["made-up", "else/gpt-a", "openai/made-up", "local/gpt-a", "openai/", "local/"])
def test_a_model_that_nobody_has_has_no_way(model: str) -> None:
    assert ways(model, ALL, ("grok",)) == []


@pytest.mark.parametrize("model", ["made-up", "else/gpt-a"])
def test_where_there_is_one_upstream_it_answers_for_every_unknown_name(model: str) -> None:
    assert ways(model, (LOCAL,), ()) == [Way("local", None)]


def test_one_upstream_with_a_closed_list_has_no_other_model_by_its_full_name() -> None:
    assert ways("local/made-up", (LOCAL,), ()) == []


def test_upstreams_with_the_same_model_stand_in_for_one_another_in_order() -> None:
    assert ways("gpt-a", ALL, ("grok/g", "openai")) == [
        Way("openai", "gpt-a"),
        Way("router", "gpt-a"),
        Way("grok", "g"),
    ]


def test_what_no_upstream_was_asked_for_by_name_goes_to_the_listed_ones_in_their_order() -> None:
    assert ways(None, ALL, ("grok/g", "openai", "local/parley-demo", "else")) == [
        Way("local", None),
        Way("grok", "g"),
        Way("openai", None),
    ]


@pytest.mark.parametrize(
    ("model", "others"),
    [
        ("openai/gpt-a", [Way("local", None)]),
        ("openai", [Way("local", None)]),
        ("grok/g", [Way("openai", "gpt-a"), Way("local", None)]),
        ("local/parley-demo", []),
        ("router/gpt-a", []),
    ],
)
def test_an_upstream_asked_for_by_name_is_replaced_only_by_those_listed_after_it(model: str, others: list[Way]) -> None:
    assert ways(model, ALL, ("grok", "openai/gpt-a", "local"))[1:] == others


@pytest.mark.parametrize(
    ("model", "plain"),
    [(None, True), ("gpt-a", True), ("parley-demo", True), ("grok/x", True), ("grok", True), ("x", False)],
)
def test_nobody_need_be_asked_for_models_when_the_name_says_enough(model: str | None, plain: bool) -> None:
    assert is_plain(model, (LOCAL, OPENAI, GROK)) == plain


@given(asked, place_lists, stand_in_lists)
def test_no_upstream_comes_twice_and_none_is_made_up(model: str | None, places: list[Place], listed: list[str]) -> None:
    found = [way.upstream for way in ways(model, places, listed)]

    assert len(found) == len(set(found))
    assert set(found) <= {place.name for place in places}


@given(asked, place_lists, stand_in_lists)
def test_stand_ins_never_change_who_is_meant(model: str | None, places: list[Place], listed: list[str]) -> None:
    assert ways(model, places, listed)[:1] == ways(model, places, ())[:1]


@given(st.sampled_from(["", None]), place_lists, stand_in_lists)
def test_without_a_name_there_is_always_a_way(model: str | None, places: list[Place], listed: list[str]) -> None:
    assert ways(model, places, listed)[0] == Way(places[0].name, None)


@given(models.filter(bool), place_lists, stand_in_lists)
def test_what_was_meant_for_one_place_goes_only_where_the_operator_said(
    model: str, places: list[Place], listed: list[str]
) -> None:
    others = [one for one in listed if one.partition("/")[0] != "grok"]

    assert ways(f"grok/{model}", [GROK, *places], others) == [Way("grok", model)]
