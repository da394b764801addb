"""Which addresses a setting names, and what is known of them."""

import anyio
import pytest

from gateway.core.replica_choice import Condition
from gateway.replicas import Replicas, look_up, urls_in
from gateway.settings import GatewaySettings
from tests.support.llm import sample

pytestmark = [pytest.mark.shell, pytest.mark.anyio]


class Names:
    """A name service: what each name means now."""

    def __init__(self, **hosts: list[str]) -> None:
        self.hosts = hosts
        self.asked: list[tuple[str, int]] = []

    async def resolve(self, host: str, port: int) -> list[str]:
        self.asked.append((host, port))
        return self.hosts.get(host, [])


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        ("ws://a:1", ["ws://a:1"]),
        ("ws://a:1/,ws://b:2", ["ws://a:1", "ws://b:2"]),
        (" ws://a:1  ws://b:2,\n ws://a:1 ", ["ws://a:1", "ws://b:2"]),
        ("http://[::1]:8001", ["http://[::1]:8001"]),
    ],
)
def test_a_list_of_urls_is_read(text: str, urls: list[str]) -> None:
    assert urls_in(text) == urls


@pytest.mark.parametrize("text", ["", " , ", "ws://", "ws://:8002", "ws://a:0", "ws://a:99999", "ws://a:b", "ws://[a"])
def test_what_names_no_host_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        urls_in(text)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("asr_url", "http://a"),
        ("tts_url", "ws://a b"),
        ("llm_url", "http://a,ws://b"),
        ("llm_url", "http://a:99999"),
        ("asr_url", ""),
    ],
)
def test_a_setting_that_is_no_such_list_stops_the_start(field: str, value: str) -> None:
    with pytest.raises(ValueError, match=field):
        GatewaySettings(**{field: value})  # type: ignore[arg-type]


def test_a_setting_takes_one_url_or_several() -> None:
    settings = GatewaySettings(asr_url="ws://a,wss://b/x", llm_url="https://a http://b:1, http://c")

    assert len(Replicas("asr_service", settings.asr_url)) == 2
    assert len(Replicas("llm_service", settings.llm_url)) == 3


async def test_a_name_with_many_addresses_is_so_many_replicas_and_follows_the_name() -> None:
    names = Names(voices=["10.0.0.1", "10.0.0.2"])
    replicas = Replicas("tts_service", "ws://voices:8003/base", names.resolve)
    before = list(replicas.conditions)
    await replicas.find()
    replicas.see("ws://10.0.0.1:8003/base", Condition.READY)
    names.hosts["voices"] = ["10.0.0.1", "10.0.0.3"]
    await replicas.find()

    assert before == ["ws://voices:8003/base"]
    assert replicas.conditions == {
        "ws://10.0.0.1:8003/base": Condition.READY,
        "ws://10.0.0.3:8003/base": Condition.UNKNOWN,
    }
    assert names.asked == [("voices", 8003)] * 2


async def test_a_name_that_cannot_be_looked_up_keeps_the_addresses_that_it_had() -> None:
    names = Names(voices=["10.0.0.1", "fd00::2"])
    replicas = Replicas("tts_service", "ws://voices ws://10.0.0.9", names.resolve)
    await replicas.find()
    names.hosts.clear()
    await replicas.find()

    assert list(replicas.conditions) == ["ws://10.0.0.1", "ws://[fd00::2]", "ws://10.0.0.9"]


async def test_a_name_with_one_address_stays_a_name() -> None:
    replicas = Replicas("tts_service", "ws://voice", Names(voice=["10.0.0.1"]).resolve)
    await replicas.find()

    assert list(replicas.conditions) == ["ws://voice"]


@pytest.mark.parametrize("url", ["wss://voices:1", "https://voices", "ws://10.0.0.1:8003", "ws://[::1]:8003"])
async def test_addresses_and_names_behind_tls_are_not_looked_up(url: str) -> None:
    names = Names(voices=["10.0.0.1", "10.0.0.2"])
    replicas = Replicas("tts_service", url, names.resolve)
    await replicas.find()

    assert (list(replicas.conditions), names.asked) == ([url], [])


async def test_the_machine_itself_is_found_once() -> None:
    assert await look_up("localhost", 8001) in (["127.0.0.1"], ["::1"])
    assert await look_up("127.0.0.1", 8001) == ["127.0.0.1"]


@pytest.mark.parametrize("host", ["a" * 70, "two..dots"])
async def test_a_name_that_does_not_exist_has_no_address(host: str) -> None:
    assert await look_up(host, 1) == []


async def test_a_name_service_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(*_: object, **__: object) -> None:
        await anyio.sleep_forever()

    monkeypatch.setattr("gateway.replicas.RESOLVE_TIMEOUT_S", 0.01)
    monkeypatch.setattr(anyio, "getaddrinfo", hang)

    assert await look_up("voices", 1) == []


async def test_the_metrics_say_how_many_are_in_which_condition_and_what_changed() -> None:
    def count(state: str) -> float:
        return sample("parley_replicas", service="counted", kind=state)

    def changes(what: str) -> float:
        return sample("parley_replica_changes_total", service="counted", what=what)

    replicas = Replicas("counted", "ws://a ws://b ws://c")
    replicas.see("ws://a", Condition.READY)
    replicas.lose("ws://b")
    replicas.lose("ws://b")
    replicas.refuse("ws://c")
    replicas.see("ws://a", Condition.SILENT)
    replicas.note_move()

    assert [count(state.value) for state in Condition] == [0, 0, 1, 1, 1]
    assert [changes(what) for what in ("out", "back", "moved")] == [2, 0, 1]


async def test_one_that_was_out_is_counted_when_it_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    replicas = Replicas("returning", "ws://a")
    now_s = [0.0]
    monkeypatch.setattr("shared.clock.now_s", lambda: now_s[0])
    replicas.lose("ws://a")
    assert replicas.due() == []
    now_s[0] = 10.0
    assert replicas.due() == ["ws://a"]
    replicas.see("ws://a", Condition.READY)

    assert sample("parley_replica_changes_total", service="returning", what="back") == 1


async def test_who_takes_one_gives_it_back_whatever_happens() -> None:
    replicas = Replicas("llm_service", "http://a http://b")
    with pytest.raises(KeyError), replicas.taken() as first, replicas.taken() as second:
        assert sorted([str(first), str(second)]) == ["http://a", "http://b"]
        raise KeyError
    with replicas.taken({"http://a", "http://b"}) as nobody:
        assert nobody is None

    assert replicas.users == {"http://a": 0, "http://b": 0}


def test_replicas_are_taken_as_they_are_and_urls_become_some() -> None:
    replicas = Replicas("llm_service", "http://a")

    assert Replicas.of("llm_service", replicas) is replicas
    assert list(Replicas.of("llm_service", "http://a,http://b").conditions) == ["http://a", "http://b"]
