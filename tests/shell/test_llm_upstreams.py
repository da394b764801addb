"""Several servers behind one front: who answers, and what each of them is asked."""

import logging
from collections.abc import Mapping
from typing import Any

import anyio
import pytest

from llm_service.catalogue import Catalogue, Entry
from llm_service.core.answer import Answerer, Delta, Finished
from llm_service.core.routing import Place
from llm_service.engines.fake import Canned, Exchange, FakeEngine, Script
from llm_service.engines.openai_upstream import OpenAiUpstream
from llm_service.openai_wire import ChatRequest
from llm_service.settings import LlmSettings
from llm_service.upstreams import Upstreams, load_upstreams
from shared.errors import (
    ModelNotFound,
    ParleyError,
    ServiceUnavailable,
    Unsupported,
)
from tests.support.llm import DONE, FINISH, HELLO, delta, refuses, says, sends, stalls
from tests.support.llm_upstreams import Clock, Server, answer, fronted, parts_told, settled

pytestmark = [pytest.mark.shell, pytest.mark.anyio]

SECRET = "sk-very-secret"

HI = "This is a canned answer."

FAILS = refuses(500, {"error": {"message": "m"}})


def canned() -> FakeEngine:
    return FakeEngine(Canned())


def saying(text: str) -> Server:
    return Server(says(delta(text), FINISH, DONE))


async def test_three_servers_are_chosen_by_each_request() -> None:
    servers = {"openai": saying("from openai"), "grok": saying("from grok")}
    specs = {"openai": {"models": ["gpt-a", "gpt-b"]}, "grok": {"models": ["grok-4"]}}
    async with fronted(canned(), servers, specs) as upstreams:
        found = [
            await answer(upstreams, model)
            for model in (None, "own-model", "openai/gpt-b", "grok-4", "gpt-a", "grok", "local/own-model")
        ]

    assert found == [
        ("own-model", HI),
        ("own-model", HI),
        ("openai/gpt-b", "from openai"),
        ("grok/grok-4", "from grok"),
        ("openai/gpt-a", "from openai"),
        ("grok/grok-4", "from grok"),
        ("own-model", HI),
    ]
    assert [exchange.body["model"] for exchange in servers["openai"].asked] == ["gpt-b", "gpt-a"]
    assert [exchange.body["model"] for exchange in servers["grok"].asked] == ["grok-4", "grok-4"]


async def test_each_server_is_shown_its_own_key_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    servers = {"a": Server(FAILS), "b": Server(refuses(401, {"error": SECRET})), "c": Server()}
    specs: dict[str, dict[str, Any]] = {"a": {"key": SECRET + "-a"}, "b": {"key": SECRET + "-b"}, "c": {}}
    with caplog.at_level(logging.DEBUG):
        async with fronted(None, servers, specs, fallback="a,b,c", engine="fake") as upstreams:
            found = await answer(upstreams, "a")
            servers["c"].script = FAILS
            with pytest.raises(ParleyError) as failed:
                await answer(upstreams, "a")

    assert found == ("c", "hi")
    keys = [servers[name].asked[0].headers.get("authorization") for name in servers]
    assert keys == [f"Bearer {SECRET}-a", f"Bearer {SECRET}-b", None]
    told = [record for record in caplog.records if record.name.startswith("llm_service")]
    assert [vars(record)["upstream"] for record in told] == ["a", "b", "a", "b", "c"]
    assert SECRET not in caplog.text + str([vars(record) for record in caplog.records])
    assert SECRET not in f"{failed.value!r} {failed.value.__cause__!r} {failed.value.__context__!r}"


async def test_a_model_that_nobody_has_is_not_found() -> None:
    specs: dict[str, dict[str, Any]] = {"openai": {"models": ["gpt-a"]}, "grok": {}}
    for model in ("made-up", "openai/made-up", "else/gpt-a", "local/made-up"):
        async with fronted(canned(), {"openai": Server(), "grok": Server(models=("grok-4",))}, specs) as upstreams:
            with pytest.raises(ModelNotFound) as told:
                await answer(upstreams, model)
            assert (told.value.status, told.value.code, told.value.param) == (404, "model_not_found", "model")


async def test_an_engine_alone_answers_whatever_model_is_named() -> None:
    async with fronted(canned(), {}) as upstreams:
        assert await answer(upstreams, "gpt-4o") == ("own-model", HI)


async def test_a_server_is_asked_for_its_models_when_they_are_not_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    server = Server(models=("m-1", "m-2"))
    async with fronted(canned(), {"far": server}) as upstreams:
        assert await answer(upstreams, "m-2") == ("far/m-2", "hi")
        assert await answer(upstreams, "m-1") == ("far/m-1", "hi")
        assert server.listings == 1

        server.models = ("m-3",)
        clock.ahead_s += 299
        with pytest.raises(ModelNotFound):
            await answer(upstreams, "m-3")
        clock.ahead_s += 2
        assert await answer(upstreams, "m-3") == ("far/m-3", "hi")

    assert server.listings == 2


async def test_a_server_named_in_the_request_need_not_list_the_model() -> None:
    server = Server(models=("m-1",))
    async with fronted(canned(), {"far": server}) as upstreams:
        assert await answer(upstreams, "far/anything/at-all") == ("far/anything/at-all", "hi")

    assert (server.listings, server.asked[0].body["model"]) == (0, "anything/at-all")


async def test_while_a_server_lists_nothing_an_unknown_model_may_come_later(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    server = Server(models=None)
    async with fronted(canned(), {"far": server}) as upstreams:
        for _ in range(2):
            with pytest.raises(ServiceUnavailable):
                await answer(upstreams, "m-1")
        assert server.listings == 1

        server.models = ("m-1",)
        clock.ahead_s += 11
        assert await answer(upstreams, "m-1") == ("far/m-1", "hi")


async def test_a_list_is_asked_for_once_by_many() -> None:
    server = Server(models=("m-1",))
    async with fronted(canned(), {"far": server}) as upstreams, anyio.create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(answer, upstreams, "m-1")

    assert (server.listings, len(server.asked)) == (1, 8)


async def test_a_bare_name_that_a_server_lists_waits_for_no_other_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llm_service.engines.remote._LIST_TIMEOUT_S", 600)
    hanging, quick = Server(), Server(models=("m-1",))
    hanging.engine.listing = stalls()
    async with fronted(canned(), {"slow": hanging, "quick": quick}) as upstreams:
        with anyio.fail_after(60):
            assert await answer(upstreams, "m-1") == ("quick/m-1", "hi")
        assert hanging.engine.connections == 1  # its list is awaited still


async def test_a_list_that_nobody_waits_for_any_more_is_kept_when_it_comes() -> None:
    gate, late = anyio.Event(), Server(models=("m-1", "m-2"))

    async def listing(exchange: Exchange) -> None:
        await gate.wait()
        await late._list(exchange)

    late.engine.listing = listing
    async with fronted(canned(), {"late": late, "quick": Server(models=("m-1",))}) as upstreams:
        assert await answer(upstreams, "m-1") == ("quick/m-1", "hi")
        gate.set()
        assert await answer(upstreams, "m-2") == ("late/m-2", "hi")
        assert await answer(upstreams, "m-1") == ("late/m-1", "hi")  # in the order of the servers

    assert late.listings == 1


async def test_a_client_that_leaves_ends_no_question_of_others() -> None:
    gate, server = anyio.Event(), Server(models=("m-1",))

    async def listing(exchange: Exchange) -> None:
        await gate.wait()
        await server._list(exchange)

    server.engine.listing = listing
    async with fronted(canned(), {"far": server}) as upstreams:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(answer, upstreams, "m-1")
            await server.engine.until(lambda engine: engine.connections == 1)
            tasks.cancel_scope.cancel()
        gate.set()
        assert await answer(upstreams, "m-1") == ("far/m-1", "hi")

    assert server.listings == 1


async def test_a_fault_in_asking_one_server_ends_neither_the_others_nor_the_service(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def broken() -> tuple[str, ...]:
        raise RuntimeError("a fault of ours")

    found = Catalogue([Entry(Place("a"), broken), Entry(Place("b", ("m",)))])
    async with found.running():
        places = await found.asked()

    assert [place.models for place in places] == [None, ("m",)]
    assert "could not be listed" in caplog.text


LISTINGS: dict[str, Script] = {
    "no JSON": sends(b"HTTP/1.1 200 OK\r\n\r\n{"),
    "no object": refuses(200, []),
    "no list": refuses(200, {"data": 7}),
    "too much": sends(b"HTTP/1.1 200 OK\r\n\r\n", b'{"data": [], "x": "%s"}' % (b"x" * (5 * 1024 * 1024))),
    "a refusal": refuses(500, {"data": [{"id": "a"}]}),
    "nothing": sends(),
    "no HTTP": sends(b"\x00\r\n\r\n"),
}


@pytest.mark.parametrize("case", LISTINGS)
async def test_a_list_that_cannot_be_understood_is_none(case: str) -> None:
    server = Server()
    server.engine.listing = LISTINGS[case]
    async with fronted(canned(), {"far": server}) as upstreams:
        assert [place.models for place in await upstreams.catalogue.asked()] == [("own-model",), None]
        await server.until_left()


async def test_only_names_are_taken_from_a_list() -> None:
    server = Server()
    server.engine.listing = refuses(200, {"data": [{"id": "a"}, {"id": 7}, "b", {"id": "a"}, {}, {"id": "x" * 300}]})
    async with fronted(canned(), {"far": server}) as upstreams:
        assert [place.models for place in await upstreams.catalogue.asked()] == [("own-model",), ("a",)]


async def test_a_client_that_leaves_amid_an_answer_closes_the_connection() -> None:
    server = Server(stalls(delta("a")))
    async with fronted(None, {"a": server}, engine="fake") as upstreams:
        async with upstreams.answer(ChatRequest.model_validate({"messages": HELLO})) as parts:
            assert [await anext(parts), await anext(parts)] == [Answerer("a", "a"), Delta("a")]
        await server.until_left()

    assert server.engine.cut_short == 1


async def test_a_default_model_answers_who_names_none() -> None:
    servers = {"grok": saying("from grok")}
    async with fronted(canned(), servers, default_model="grok/grok-4") as upstreams:
        assert await answer(upstreams) == ("grok/grok-4", "from grok")
        assert await answer(upstreams, "local") == ("own-model", HI)


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({}, "ready"),
        ({"default_model": "far/m"}, "the upstream server answers 500"),
        ({"default_model": "far/m", "fallback": "far,local"}, "ready"),
        ({"default_model": "local/none"}, "no server has the default model"),
        ({"default_model": "nobody"}, "no server has the default model"),
    ],
)
async def test_it_is_ready_when_a_request_without_a_model_can_be_answered(fields: dict[str, Any], state: str) -> None:
    async with fronted(canned(), {"far": Server()}, **fields) as upstreams:
        assert await upstreams.readiness() == state


async def test_a_server_that_takes_no_tools_is_passed_over() -> None:
    servers = {"plain": Server(), "able": Server()}
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    specs: Mapping[str, Mapping[str, Any]] = {"plain": {"takes_tools": False}}
    async with fronted(None, servers, specs, fallback="able", engine="fake") as upstreams:
        assert await answer(upstreams, tools=tools) == ("able", "hi")
        assert await answer(upstreams, tools=[]) == ("plain", "hi")
        with pytest.raises(Unsupported):
            await answer(upstreams, "plain", response_format={"type": "json_object"})

    assert servers["able"].asked[0].body["tools"] == tools


async def test_the_older_settings_are_a_server_called_upstream() -> None:
    server, seen = Server(models=("m-1", "m-2")), list[Exchange]()
    async with settled({}) as _, server.engine.running():
        target = await server.engine.target(0)
        assert target is not None
        settings = LlmSettings.model_validate({"engine": "openai", "upstream_url": target.address})
        upstreams = Upstreams(settings, OpenAiUpstream(settings))
        async with upstreams.running():
            found = [await answer(upstreams, model) for model in (None, "m-2", "upstream/m-1", "made-up")]
        seen += server.asked

    assert found == [("upstream", "hi"), ("upstream/m-2", "hi"), ("upstream/m-1", "hi"), ("upstream", "hi")]
    assert [exchange.body.get("model") for exchange in seen] == [None, "m-2", "m-1", None]


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"engine": "fake"}, ["local"]),
        ({"engine": "openai"}, ["upstream"]),
        ({"engine": "fake", "upstreams": "a=http://a"}, ["local", "a"]),
        ({"engine": "openai", "upstreams": "a=http://a"}, ["a"]),
        ({"engine": "openai", "upstreams": "a=http://a", "upstream_url": "http://b"}, ["upstream", "a"]),
    ],
)
def test_the_engine_of_the_settings_is_among_the_servers_unless_none_is_meant(
    fields: dict[str, Any], names: list[str]
) -> None:
    upstreams = load_upstreams(LlmSettings.model_validate(fields))

    assert [place.name for place in upstreams.catalogue.places] == names


async def test_stopping_ends_the_answers_of_every_server() -> None:
    servers = {"a": Server(stalls(delta("a"))), "b": Server(stalls())}
    failures: list[str] = []
    async with settled(servers, engine="fake") as settings, anyio.create_task_group() as tasks:
        upstreams = Upstreams(settings, None)

        async def ask(model: str) -> None:
            with pytest.raises(ServiceUnavailable) as told:
                await parts_told(upstreams, model)
            failures.append(told.value.message)

        async with upstreams.running():
            tasks.start_soon(ask, "a")
            tasks.start_soon(ask, "b")
            for server in servers.values():
                await server.engine.until(lambda engine: engine.connections == 1)
        for server in servers.values():
            await server.until_left()

    assert failures == ["The language service is stopping."] * 2


async def test_the_parts_come_as_the_server_tells_them() -> None:
    async with fronted(None, {"a": Server()}, engine="fake") as upstreams:
        assert await parts_told(upstreams) == [Answerer("a", "a"), Delta("hi"), Finished("stop")]
