"""The servers that an operator lists: both forms, and what is said of a wrong one."""

import json
import logging
from typing import Any

import pytest
from pydantic import ValidationError

from llm_service.engines.remote import RemoteServer
from llm_service.settings import LlmSettings
from llm_service.upstream_specs import UpstreamSpec, parse_upstreams

pytestmark = pytest.mark.shell

SECRET = "sk-very-secret"
GROK = {"name": "grok", "url": "https://api.x.ai/v1"}


def spec(**fields: Any) -> UpstreamSpec:
    return UpstreamSpec.model_validate({**GROK, **fields})


def test_a_json_list_is_read() -> None:
    text = json.dumps([{**GROK, "models": ["grok-4"], "max_requests": 3}, {"name": "b", "url": "http://b:1"}])

    found = parse_upstreams(text)

    assert found == (spec(models=("grok-4",), max_requests=3), UpstreamSpec(name="b", url="http://b:1"))


def test_one_json_object_is_a_list_of_one() -> None:
    assert parse_upstreams(json.dumps(GROK)) == (spec(),)


def test_the_compact_text_is_read() -> None:
    text = (
        "grok=https://api.x.ai/v1;models=a,b;kind=chat;takes_tools=false;idle_timeout_s=2.5\n b=http://b:1/x=y;key=k=1;"
    )

    found = parse_upstreams(text)

    assert found == (
        spec(models=("a", "b"), kind="chat", takes_tools=False, idle_timeout_s=2.5),
        UpstreamSpec.model_validate({"name": "b", "url": "http://b:1/x=y", "key": "k=1"}),
    )


@pytest.mark.parametrize("text", ["", "  ", "[]"])
def test_nothing_is_no_server(text: str) -> None:
    assert parse_upstreams(text) == ()


def test_a_key_comes_from_the_variable_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XAI_API_KEY", SECRET)

    (found,) = parse_upstreams("grok=https://api.x.ai/v1;key_env=XAI_API_KEY")

    assert found.key is not None
    assert found.key.get_secret_value() == SECRET
    assert found == spec(key=SECRET)


WRONG: dict[str, tuple[str, str]] = {
    "broken JSON": ('[{"name": "grok", "key": "sk-very-secret"', "it is not JSON"),
    "no object": ('["sk-very-secret"]', "server 1: it is no object"),
    "no address": ('[{"name": "grok"}]', "server 'grok': url: field required"),
    "no name": ('[{"url": "http://x"}]', "server 1: name: field required"),
    "a name with a slash": ('[{"name": "a/b", "url": "http://x"}]', "server 1: name: string should match"),
    "another scheme": ("grok=ftp://x", "server 'grok': url: string should match"),
    "a key in the address": ("grok=https://u:sk-very-secret@x/v1", "server 'grok': url: string should match"),
    "an unknown field": ("grok=https://x;colour=red", "server 'grok': colour: extra inputs are not permitted"),
    "a key where a field should be": ("grok=https://x;sk-very-secret=1", "server 'grok': a field: extra inputs"),
    "a part without a value": ("grok=https://x;sk-very-secret", "server 'grok': a part of it has no `=`"),
    "an empty model": ("grok=https://x;models=a,,b", "server 'grok': models.1: string should have at least 1"),
    "a model with a control character": ("grok=https://x;models=a,b\x1b[2J", "server 'grok': models.1: value error"),
    "a model with an end of text": (
        '[{"name":"grok","url":"http://x","models":["a\\u0000"]}]',
        "server 'grok': models.0",
    ),
    "a model that cannot be seen": ("grok=https://x;models=a\u200b", "server 'grok': models.0: value error, a model's"),
    "a model with a space": (
        '{"name":"grok","url":"http://x","models":["a b"]}',
        "server 'grok': models.0: value error",
    ),
    "a key in the place of a server": ("grok=https://x sk-very-secret", "server 2: it has no address"),
    "a key in the place of a variable": ("a=http://x;key_env=sk_very_secret", "server 'a': key_env: that variable is"),
    "a bound out of bounds": ("grok=https://x;max_requests=0", "server 'grok': max_requests: input should be greater"),
    "an unknown kind": ("grok=https://x;kind=magic", "server 'grok': kind: input should be 'auto', 'chat' or"),
    "the same name twice": ("a=http://x a=http://y", "server 'a': name: it is given twice"),
    "a variable that is not set": ("a=http://x;key_env=NO_SUCH_KEY", "server 'a': key_env: the variable NO_SUCH_KEY"),
    "no name of a variable": ("a=http://x;key_env=sk-very-secret", "server 'a': key_env: it is no name of a variable"),
    "a key twice": ("a=http://x;key_env=B;key=sk-very-secret", "server 'a': key_env: the key is given as well"),
    "a key for no header": ('{"name":"a","url":"http://x","key":"sk-very-secret\\n"}', "server 'a': key: value error"),
    "a name of the engine": ("local=http://x", "server 'local': name: that is what the engine is called"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_told_by_server_and_field_and_never_with_the_key(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, sentence = WRONG[case]
    monkeypatch.setenv("LLM_UPSTREAMS", text)
    with pytest.raises(ValidationError) as told:
        LlmSettings()
    with pytest.raises(SystemExit) as ended:
        LlmSettings.load()

    assert f"LLM_UPSTREAMS: Value error, {sentence}" in str(ended.value)
    said = f"{ended.value} {told.value} {told.value!r} {told.value.__cause__!r}"
    assert SECRET not in said.replace("_", "-")


@pytest.mark.parametrize("given", [7, {"a": 1}])
def test_what_is_no_list_is_refused(given: object) -> None:
    with pytest.raises(ValueError, match="it is no list of servers"):
        parse_upstreams(given)


@pytest.mark.parametrize(
    ("engine", "names", "sentence"),
    [
        ("fake", "grok,sk-very-secret/x", "name 2: there is no such server; known: grok, local"),
        ("openai", "local", "name 1: there is no such server; known: grok, upstream"),
    ],
)
def test_only_known_servers_can_stand_in(engine: str, names: str, sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence) as told:
        LlmSettings.model_validate({"engine": engine, "upstreams": [GROK], "fallback": names})

    assert SECRET not in str(told.value)


def test_stand_ins_are_read_from_a_text_or_a_list() -> None:
    fields = {"engine": "fake", "upstreams": [GROK]}
    texts = ("grok/grok-4, local", ["grok/grok-4", "local"])

    found = [LlmSettings.model_validate({**fields, "fallback": given}).fallback for given in texts]

    assert found == [("grok/grok-4", "local")] * 2
    with pytest.raises(ValidationError, match="it is no list of names"):
        LlmSettings.model_validate({**fields, "fallback": 7})


def test_a_key_is_in_no_repr_and_no_log(caplog: pytest.LogCaptureFixture) -> None:
    settings = LlmSettings.model_validate({"engine": "fake", "upstreams": [{**GROK, "key": SECRET}]})
    (found,) = settings.upstreams
    engine = RemoteServer(found.name, found.url, found.key, None)  # type: ignore[arg-type]

    with caplog.at_level(logging.DEBUG):
        logging.getLogger("test").info("%s %s %s", settings, found, engine._target)

    assert SECRET not in caplog.text + repr(settings) + str(found) + repr(vars(engine)["_target"])
    assert SECRET not in settings.model_dump_json()


def test_an_engine_key_that_no_header_can_carry_is_refused() -> None:
    with pytest.raises(ValidationError, match="visible ASCII") as told:
        LlmSettings.model_validate({"upstream_key": "clé-secrète"})

    assert "secrète" not in str(told.value)


def test_servers_that_are_made_in_code_are_taken_as_they_are() -> None:
    assert LlmSettings.model_validate({"engine": "fake", "upstreams": [spec()]}).upstreams == (spec(),)


@pytest.mark.parametrize("url", ["http://h:abc", "http://h:80:90", "http://h:99999", "http://[::1", "http://h:0"])
def test_an_address_that_nobody_can_connect_to_is_told_by_its_name(url: str) -> None:
    with pytest.raises(ValueError, match=r"b.*url"):
        parse_upstreams(f"b={url}")
