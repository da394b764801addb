"""A server that cannot serve: who answers in its place, and when it is asked again."""

import random

import anyio
import pytest

from llm_service.core.answer import Answerer, Delta
from llm_service.engines.fake import Canned, Exchange, FakeEngine, Script
from llm_service.openai_wire import ChatRequest
from shared.errors import (
    BadRequest,
    EngineFailed,
    ModelNotFound,
    Overloaded,
    ParleyError,
    ServiceTimeout,
    ServiceUnavailable,
)
from tests.support.llm import DONE, FINISH, HELLO, delta, refuses, sample, says, sends, stalls
from tests.support.llm_upstreams import Clock, Server, answer, fronted, no_server_at

pytestmark = [pytest.mark.shell, pytest.mark.anyio]

HI = "This is a canned answer."

FAILS = refuses(500, {"error": {"message": "m"}})


def canned() -> FakeEngine:
    return FakeEngine(Canned())


def saying(text: str) -> Server:
    return Server(says(delta(text), FINISH, DONE))


BROKEN: dict[str, tuple[Script, type[ParleyError]]] = {
    "closes": (sends(), ServiceUnavailable),
    "fails": (FAILS, EngineFailed),
    "is loading": (refuses(503, {"error": "m"}), ServiceUnavailable),
    "is overloaded": (refuses(429, {"error": "m"}), Overloaded),
    "refuses the key": (refuses(401, {"error": "m"}), ServiceUnavailable),
    "lacks the model that is set": (refuses(404, {"error": {"code": "model_not_found"}}), EngineFailed),
    "fails in its first event": (says({"error": {"message": "m"}}, DONE), EngineFailed),
    "fails after its role": (says({"choices": [{"delta": {"role": "assistant"}}]}, {"error": "m"}), EngineFailed),
    "says garbage": (says("{garbage"), EngineFailed),
    "ends before it began": (says(DONE), ServiceUnavailable),
    "never begins": (stalls(), ServiceTimeout),
}

HASTY = {"bad": {"first_token_timeout_s": 0.05}}


@pytest.mark.parametrize("case", BROKEN)
async def test_who_cannot_serve_is_replaced_by_the_next_before_the_first_token(case: str) -> None:
    bad, good = Server(BROKEN[case][0]), saying("from good")
    specs = HASTY if case == "never begins" else {"bad": {"models": ["m"]}}
    async with fronted(None, {"bad": bad, "good": good}, specs, fallback="good", engine="fake") as upstreams:
        assert await answer(upstreams) == ("good", "from good")
        await bad.until_left()


@pytest.mark.parametrize("case", BROKEN)
async def test_without_a_stand_in_the_error_is_that_of_the_server_that_was_meant(case: str) -> None:
    script, kind = BROKEN[case]
    bad, good = Server(script), saying("from good")
    specs = HASTY if case == "never begins" else {"bad": {"models": ["m"]}}
    async with fronted(None, {"bad": bad, "good": good}, specs, engine="fake") as upstreams:
        with pytest.raises(kind):
            await answer(upstreams)

    assert good.asked == []


async def test_a_server_that_is_not_there_is_replaced() -> None:
    specs = {"bad": {"url": await no_server_at()}}
    async with fronted(None, {"bad": Server(), "good": Server()}, specs, fallback="good", engine="fake") as upstreams:
        assert await answer(upstreams) == ("good", "hi")


async def test_when_nobody_can_serve_the_first_error_is_told() -> None:
    servers = {"a": Server(refuses(429, {"error": "m"}, Retry_After="7")), "b": Server(FAILS), "c": Server(sends())}
    async with fronted(None, servers, fallback="b,c", engine="fake") as upstreams:
        with pytest.raises(Overloaded) as told:
            await answer(upstreams)

    assert told.value.retry_after_ms == 7000
    assert [len(server.asked) for server in servers.values()] == [1, 1, 1]


async def test_what_is_wrong_with_the_request_is_no_reason_to_ask_another() -> None:
    servers = {"bad": Server(refuses(400, {"error": {"message": "m"}})), "good": Server()}
    async with fronted(None, servers, fallback="good", engine="fake") as upstreams:
        with pytest.raises(BadRequest):
            await answer(upstreams)

    assert servers["good"].asked == []


async def test_after_the_first_token_nobody_takes_over() -> None:
    servers = {"bad": Server(says(delta("a"), {"error": "m"})), "good": Server()}
    async with fronted(None, servers, fallback="good", engine="fake") as upstreams:
        request = ChatRequest.model_validate({"messages": HELLO})
        with pytest.raises(EngineFailed):
            async with upstreams.answer(request) as parts:
                assert [await anext(parts), await anext(parts)] == [Answerer("bad", "bad"), Delta("a")]
                await anext(parts)
        await servers["bad"].until_left()

    assert servers["good"].asked == []


async def test_a_request_for_one_server_goes_elsewhere_only_when_the_operator_said_so() -> None:
    servers = {"a": Server(FAILS), "b": Server(FAILS), "c": saying("from c")}
    specs = {"a": {"models": ["m"]}, "b": {"models": ["m"]}, "c": {"models": ["n"]}}
    async with fronted(None, servers, specs, fallback="b,c", engine="fake") as upstreams:
        with pytest.raises(EngineFailed):
            await answer(upstreams, "a/m")
        assert await answer(upstreams, "b/m") == ("c/n", "from c")
        assert await answer(upstreams, "m") == ("c/n", "from c")
        with pytest.raises(EngineFailed):
            servers["c"].script = FAILS
            await answer(upstreams, "c/n")

    assert [len(servers[name].asked) for name in servers] == [2, 2, 3]


async def test_a_stand_in_that_lacks_its_model_is_passed_over() -> None:
    missing = refuses(404, {"error": {"code": "model_not_found"}})
    servers = {"a": Server(FAILS), "b": Server(missing), "c": saying("from c")}
    async with fronted(None, servers, fallback="a,b/m,c", engine="fake") as upstreams:
        assert await answer(upstreams, "a/m") == ("c", "from c")
        servers["c"].script = missing
        with pytest.raises(EngineFailed):
            await answer(upstreams, "a/m")


async def test_a_server_of_the_older_kind_is_replaced_where_tools_are_wanted() -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    servers = {"older": Server(), "able": Server()}
    specs = {"older": {"kind": "completion"}}
    async with fronted(None, servers, specs, fallback="able", engine="fake") as upstreams:
        assert await answer(upstreams, tools=tools) == ("able", "hi")

    assert servers["older"].asked == []


async def test_a_model_that_the_server_asked_for_it_does_not_have_is_not_found() -> None:
    missing = refuses(
        404, {"error": {"message": "The model `x` does not exist.", "type": "NotFoundError", "code": 404}}
    )
    servers = {"vllm": Server(missing), "good": Server()}
    async with fronted(None, servers, fallback="vllm,good", engine="fake") as upstreams:
        with pytest.raises(ModelNotFound):
            await answer(upstreams, "vllm/x")

    assert servers["good"].asked == []


async def test_one_server_takes_no_more_at_once_than_its_bound_and_the_rest_go_on() -> None:
    gate = anyio.Event()
    narrow, wide = Server(Canned(gates={1: gate})), saying("from wide")
    told: list[str] = []
    async with fronted(
        None, {"narrow": narrow, "wide": wide}, {"narrow": {"max_requests": 2}}, fallback="wide", engine="fake"
    ) as upstreams:

        async def ask() -> None:
            told.append((await answer(upstreams))[0])

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            tasks.start_soon(ask)
            await narrow.engine.until(lambda engine: engine.connections == 2)
            assert await answer(upstreams) == ("wide", "from wide")
            with pytest.raises(Overloaded):
                await answer(upstreams, "narrow")
            gate.set()
        assert await answer(upstreams) == ("narrow", HI)

    assert told == ["narrow", "narrow"]


async def test_a_server_that_keeps_failing_is_left_alone_and_tried_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    bad, good = Server(FAILS), saying("from good")
    async with fronted(
        None, {"bad": bad, "good": good}, fallback="good", engine="fake", breaker_failures=2, breaker_open_s=8
    ) as upstreams:
        for _ in range(5):
            assert await answer(upstreams) == ("good", "from good")
        assert len(bad.asked) == 2
        with pytest.raises(ServiceUnavailable) as told:
            await answer(upstreams, "bad")
        assert 0 < (told.value.retry_after_ms or 0) <= 8000

        clock.ahead_s += 8
        assert await answer(upstreams) == ("good", "from good")  # one probe, which fails
        assert await answer(upstreams) == ("good", "from good")
        assert len(bad.asked) == 3

        bad.script = says(delta("back"), FINISH, DONE)
        clock.ahead_s += 15
        assert await answer(upstreams) == ("good", "from good")  # the wait has doubled
        clock.ahead_s += 1
        assert await answer(upstreams) == ("bad", "back")
        assert await answer(upstreams) == ("bad", "back")


async def test_a_probe_that_begins_to_answer_lets_the_others_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    server = Server(FAILS)
    request = ChatRequest.model_validate({"messages": HELLO})
    async with fronted(None, {"a": server}, engine="fake", breaker_failures=1) as upstreams:
        with pytest.raises(EngineFailed):
            await answer(upstreams)
        clock.ahead_s += 5
        server.script = stalls(delta("a"))
        async with upstreams.answer(request) as parts:
            assert [await anext(parts), await anext(parts)] == [Answerer("a", "a"), Delta("a")]
            server.script = says(delta("b"), FINISH, DONE)
            assert await answer(upstreams) == ("a", "b")


async def test_refusals_of_requests_never_open_the_breaker() -> None:
    servers = {"a": Server(refuses(400, {"error": "m"})), "b": Server()}
    async with fronted(None, servers, engine="fake", breaker_failures=1) as upstreams:
        for script in (refuses(400, {"error": "m"}), refuses(429, {"error": "m"})):
            servers["a"].script = script
            for _ in range(3):
                with pytest.raises((BadRequest, Overloaded)):
                    await answer(upstreams)

    assert len(servers["a"].asked) == 6


async def test_clients_that_leave_never_open_the_breaker_and_end_the_work() -> None:
    server = Server(stalls())
    async with fronted(None, {"a": server}, engine="fake", breaker_failures=1) as upstreams:
        for _ in range(3):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(answer, upstreams)
                await server.engine.until(lambda engine: engine.connections == 1)
                tasks.cancel_scope.cancel()
            await server.until_left()
        server.script = says(delta("a"), FINISH, DONE)

        assert await answer(upstreams) == ("a", "a")
    assert server.engine.cut_short == 3


async def test_an_engine_in_a_child_process_is_never_left_alone() -> None:
    engine = FakeEngine(FAILS)
    async with fronted(engine, {}, breaker_failures=1) as upstreams:
        for _ in range(2):
            with pytest.raises(EngineFailed):
                await answer(upstreams)
        engine.answer = Canned()
        assert await answer(upstreams) == ("own-model", HI)


async def test_after_a_storm_of_failures_and_of_clients_that_leave_nothing_is_left() -> None:
    dice = random.Random(3)
    scripts: list[Script] = [sends(), FAILS, says(delta("a")), says("{garbage"), stalls(delta("a")), stalls(), Canned()]

    async def script(exchange: Exchange) -> None:
        await dice.choice(scripts)(exchange)

    servers = {name: Server(script, models=("m",)) for name in ("a", "b")}
    bounds = {"first_token_timeout_s": 0.05, "idle_timeout_s": 0.05, "max_requests": 20}
    outcomes: set[str] = set()

    async def ask() -> None:
        with anyio.move_on_after(dice.choice([0, 0.02, 20])) as patience:
            try:
                await answer(upstreams, dice.choice([None, "m", "a/m", "b", "x"]))
                outcomes.add("completed")
            except ParleyError as failure:
                outcomes.add(failure.code)
        if patience.cancelled_caught:
            outcomes.add("left")

    specs = dict.fromkeys(servers, bounds)
    async with fronted(canned(), servers, specs, fallback="local,a,b", breaker_failures=50) as upstreams:
        async with anyio.create_task_group() as tasks:
            for _ in range(100):
                tasks.start_soon(ask)
        for server in servers.values():
            await server.until_left()

    assert outcomes > {"completed", "left", "model_not_found"}
    assert [sample("parley_llm_running", engine=name) for name in ("fake", "a", "b")] == [0, 0, 0]
