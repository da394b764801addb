"""Settings: read once, frozen, bounded and described; a bad value stops the start with a sentence that names it."""

from collections.abc import Iterator
from types import NoneType
from typing import Any, get_args

import pytest
from annotated_types import Ge, Gt, Le, Lt
from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import SettingsConfigDict

from asr_service.settings import AsrSettings
from gateway.settings import GatewaySettings
from llm_service.settings import LlmSettings
from shared.settings import ServiceSettings
from tts_service.settings import TtsSettings

pytestmark = pytest.mark.shell

EVERY_SERVICE: list[type[ServiceSettings]] = [GatewaySettings, AsrSettings, LlmSettings, TtsSettings]
EVERY_FIELD = [
    pytest.param(field, id=f"{settings.__name__}.{name}")
    for settings in EVERY_SERVICE
    for name, field in settings.model_fields.items()
]


class ShopSettings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="SHOP_")

    port: int = Field(9000, ge=1, le=65535, description="TCP port.")
    opens_h: int = Field(8, ge=0, le=23, description="Hour of opening.")
    closes_h: int = Field(18, ge=0, le=23, description="Hour of closing.")
    till_key: SecretStr | None = Field(None, description="Opens the till.")

    @model_validator(mode="after")
    def _check_hours(self) -> "ShopSettings":
        if self.closes_h <= self.opens_h:
            raise ValueError("the shop closes before it opens")
        return self


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No variable of the machine that runs the tests counts."""
    services: list[type[ServiceSettings]] = [*EVERY_SERVICE, ShopSettings]
    for settings in services:
        for names in settings.variables().values():
            for name in names:
                monkeypatch.delenv(name, raising=False)
    yield


def stopped(settings: type[ServiceSettings]) -> str:
    """What a start that fails says."""
    with pytest.raises(SystemExit) as stop:
        settings.load()
    assert isinstance(stop.value.code, str)
    return stop.value.code


@pytest.mark.parametrize("settings", EVERY_SERVICE)
def test_the_defaults_are_valid_and_stay_on_this_machine(settings: type[ServiceSettings]) -> None:
    assert settings.load().host == "127.0.0.1"


def test_every_service_has_its_own_prefix_and_port() -> None:
    assert [one.model_config.get("env_prefix") for one in EVERY_SERVICE] == ["GATEWAY_", "ASR_", "LLM_", "TTS_"]
    assert [one.load().port for one in EVERY_SERVICE] == [8000, 8002, 8001, 8003]


@pytest.mark.parametrize("settings", EVERY_SERVICE)
def test_settings_are_frozen(settings: type[ServiceSettings]) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        settings.load().port = 1  # type: ignore[misc]  # the refusal of exactly this is the point


@pytest.mark.parametrize("field", EVERY_FIELD)
def test_every_field_is_described_in_a_sentence(field: FieldInfo) -> None:
    assert field.description
    assert field.description.endswith(".")


@pytest.mark.parametrize("field", EVERY_FIELD)
def test_every_number_has_both_bounds(field: FieldInfo) -> None:
    kinds = set(get_args(field.annotation) or [field.annotation]) - {NoneType}
    if kinds & {int, float}:
        assert [one for one in field.metadata if isinstance(one, Ge | Gt)]
        assert [one for one in field.metadata if isinstance(one, Le | Lt)]


@pytest.mark.parametrize("settings", EVERY_SERVICE)
@pytest.mark.parametrize("value", ["0", "65536", "eight"])
def test_a_bad_value_stops_the_start_with_a_sentence_that_names_the_variable(
    settings: type[ServiceSettings], value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    variable = f"{settings.model_config.get('env_prefix')}PORT"
    monkeypatch.setenv(variable, value)
    sentence = stopped(settings)
    assert sentence.startswith(f"{variable}: Input should be ")
    assert sentence.endswith(".")


def test_every_bad_value_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_PORT", "0")
    monkeypatch.setenv("SHOP_OPENS_H", "24")
    assert [line.split(":")[0] for line in stopped(ShopSettings).splitlines()] == ["SHOP_PORT", "SHOP_OPENS_H"]


def test_a_check_across_fields_names_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_CLOSES_H", "7")
    assert stopped(ShopSettings) == "SHOP_*: Value error, the shop closes before it opens."


def test_a_variable_set_to_nothing_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("SHOP_HOST", "SHOP_PORT", "SHOP_TILL_KEY"):
        monkeypatch.setenv(variable, "")
    shop = ShopSettings.load()
    assert (shop.host, shop.port, shop.till_key) == ("127.0.0.1", 9000, None)


def test_a_secret_is_masked_and_told_in_no_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_TILL_KEY", "open-sesame")
    assert "open-sesame" not in repr(ShopSettings.load())
    monkeypatch.setenv("SHOP_CLOSES_H", "7")
    assert "open-sesame" not in stopped(ShopSettings)


SECOND_NAMES: list[tuple[type[ServiceSettings], str, str, str, Any]] = [
    (AsrSettings, "LANGUAGE", "zh_CN.UTF-8", "language", "zh-CN"),
    (AsrSettings, "END_SILENCE_MS", "900", "end_silence_ms", 900),
    (AsrSettings, "SHORT_PAUSE_MS", "400", "short_pause_ms", 400),
    (AsrSettings, "STABLE_NOCHANGE_MS", "1600", "stable_nochange_ms", 1_600),
    (AsrSettings, "SILENCE_RMS_THRESH", "0.01", "silence_rms", 0.01),
    (LlmSettings, "LLAMA_BASE", "http://gpu:9000", "upstream_url", "http://gpu:9000"),
]


@pytest.mark.parametrize(("settings", "variable", "value", "field", "expected"), SECOND_NAMES)
def test_a_seed_s_name_is_read_and_the_service_s_own_goes_before_it(
    settings: type[ServiceSettings],
    variable: str,
    value: str,
    field: str,
    expected: object,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    default = getattr(settings.load(), field)
    monkeypatch.setenv(variable, value)
    assert getattr(settings.load(), field) == expected != default
    own = settings.variables()[field][0]
    assert own.startswith(str(settings.model_config.get("env_prefix")))
    monkeypatch.setenv(own, str(default))
    assert getattr(settings.load(), field) == default


def test_a_bad_value_is_told_under_the_name_that_the_operator_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("END_SILENCE_MS", "5")
    assert stopped(AsrSettings).startswith("END_SILENCE_MS: ")
    monkeypatch.setenv("ASR_END_SILENCE_MS", "6")
    assert stopped(AsrSettings).startswith("ASR_END_SILENCE_MS: ")
