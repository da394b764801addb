"""The list of models: what a client may name, and what it then gets."""

from typing import Any

import anyio
import httpx
import pytest

from llm_service.engines.fake import Exchange
from tests.support.llm import HELLO, stalls
from tests.support.llm_upstreams import Server, client_of

pytestmark = [pytest.mark.shell, pytest.mark.anyio]


async def names(client: httpx.AsyncClient) -> list[str]:
    listed = (await client.get("/v1/models")).json()
    assert listed["object"] == "list"
    return [model["id"] for model in listed["data"]]


async def test_an_engine_alone_is_listed_by_its_public_name() -> None:
    async with client_of({}) as client:
        assert await names(client) == ["own-model"]


async def test_every_model_of_every_server_is_listed_as_a_request_may_name_it() -> None:
    specs = {"openai": {"models": ["gpt-a", "gpt-b"]}}
    async with client_of({"openai": Server(), "grok": Server(models=("grok-4",))}, specs) as client:
        found = await names(client)
        answered = []
        for name in found:
            asked = {"messages": HELLO, "model": name}
            answered.append((await client.post("/v1/chat/completions", json=asked)).status_code)

    assert found == ["own-model", "local/own-model", "openai/gpt-a", "openai/gpt-b", "grok/grok-4"]
    assert answered == [200] * 5


async def test_one_model_is_told_by_each_of_its_names() -> None:
    specs = {"openai": {"models": ["gpt-a", "org/gpt-b"]}}
    async with client_of({"openai": Server()}, specs) as client:
        found = {}
        for name in ("own-model", "local/own-model", "openai/gpt-a", "gpt-a", "openai/org/gpt-b", "org/gpt-b"):
            found[name] = (await client.get(f"/v1/models/{name}")).json()
        missing = [await client.get(f"/v1/models/{name}") for name in ("gpt-c", "openai/gpt-c", "local", "made/gpt-a")]

    assert {name: model["id"] for name, model in found.items()} == {name: name for name in found}
    assert [model["owned_by"] for model in found.values()] == ["parley", "local", *["openai"] * 4]
    assert [(answer.status_code, answer.json()["error"]["code"]) for answer in missing] == [
        (404, "model_not_found")
    ] * 4


async def test_a_server_that_lists_nothing_leaves_the_others_listed() -> None:
    async with client_of({"down": Server(), "up": Server(models=("m",))}) as client:
        assert await names(client) == ["own-model", "local/own-model", "up/m"]


async def test_a_server_of_the_older_settings_is_listed_with_its_models() -> None:
    server = Server(models=("m-1", "m-2"))
    async with server.engine.running():
        target = await server.engine.target(0)
        assert target is not None
        async with client_of({}, engine="openai", upstream_url=target.address, model_name="") as client:
            assert await names(client) == ["upstream", "upstream/m-1", "upstream/m-2"]
        fields: dict[str, Any] = {
            "engine": "openai",
            "upstream_url": target.address,
            "upstream_model": "m-1",
            "model_name": "",
        }
        async with client_of({}, **fields) as client:
            assert await names(client) == ["m-1"]


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Server:
    """A server whose list never comes, and is awaited for longer than any client waits."""
    monkeypatch.setattr("llm_service.engines.remote._LIST_TIMEOUT_S", 600)
    hanging = Server()
    hanging.engine.listing = stalls()
    return hanging


async def test_one_model_that_is_known_waits_for_no_list(hanging: Server) -> None:
    specs = {"openai": {"models": ["gpt-a"]}}
    async with client_of({"slow": hanging, "openai": Server()}, specs) as client:
        found = [(await client.get(f"/v1/models/{name}")).json()["owned_by"] for name in ("gpt-a", "own-model")]
        assert hanging.engine.connections == 1  # still asked

    assert found == ["openai", "parley"]


async def test_one_model_that_a_server_lists_waits_for_no_other_list(hanging: Server) -> None:
    async with client_of({"slow": hanging, "quick": Server(models=("m",))}) as client:
        found = (await client.get("/v1/models/m")).json()
        assert hanging.engine.connections == 1

    assert found["owned_by"] == "quick"


async def test_the_list_of_models_waits_for_no_server_for_long_and_has_its_models_when_they_have_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("llm_service.models._LISTED_WITHIN_S", 0.05)
    has_come, slow = anyio.Event(), Server()

    async def listing(exchange: Exchange) -> None:
        await has_come.wait()
        await exchange.tell(200, {"data": [{"id": "m"}]})

    slow.engine.listing = listing
    async with client_of({"slow": slow, "openai": Server()}, {"openai": {"models": ["gpt-a"]}}) as client:
        before = await names(client)
        has_come.set()
        assert (await client.get("/v1/models/m")).json()["owned_by"] == "slow"
        after = await names(client)

    assert before == ["own-model", "local/own-model", "openai/gpt-a"]
    assert after == ["own-model", "local/own-model", "slow/m", "openai/gpt-a"]


async def test_a_list_is_asked_for_unpacked() -> None:
    seen: list[str] = []

    async def listing(exchange: Exchange) -> None:
        seen.append(exchange.headers["accept-encoding"])
        await exchange.tell(200, {"data": [{"id": "m"}]})

    server = Server()
    server.engine.listing = listing
    async with client_of({"far": server}) as client:
        assert await names(client) == ["own-model", "local/own-model", "far/m"]

    assert seen == ["identity"]


async def test_all_lists_are_asked_for_at_once() -> None:
    both, asked = anyio.Event(), list[str]()

    async def listing(exchange: Exchange) -> None:
        asked.append(exchange.path)
        if len(asked) == 2:
            both.set()
        await both.wait()
        await exchange.tell(200, {"data": [{"id": "m"}]})

    servers = {"a": Server(), "b": Server()}
    for server in servers.values():
        server.engine.listing = listing
    async with client_of(servers) as client:
        assert await names(client) == ["own-model", "local/own-model", "a/m", "b/m"]


@pytest.mark.parametrize("count", [1, 2], ids=["one server", "two servers"])
async def test_a_key_that_is_given_as_a_model_is_told_to_nobody(count: int) -> None:
    key = "sk-proj-very-secret"
    servers = {name: Server(models=("m",)) for name in ("a", "b")[:count]}
    async with client_of(servers) as client:
        answers = [await client.get(f"/v1/models/{key}")]
        for path, more in (
            ("/v1/chat/completions", {"messages": HELLO}),
            ("/v1/completions", {"prompt": "once"}),
            ("/v1/embeddings", {"input": "tea"}),
        ):
            answers += [await client.post(path, json={"model": name, **more}) for name in (key, f"local/{key}")]

    assert {(answer.status_code, answer.json()["error"]["param"]) for answer in answers} == {(404, "model")}
    assert [answer.text for answer in answers if "secret" in answer.text] == []
