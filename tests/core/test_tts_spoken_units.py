"""The units and currencies that are written as signs."""

import pytest

from tts_service.core.spoken_units import CURRENCIES, ONLY_GLUED, UNITS, Unit

pytestmark = pytest.mark.core


@pytest.mark.parametrize(
    ("sign", "one", "many"),
    [
        ("km", "kilometre", "kilometres"),
        ("ft", "foot", "feet"),
        ("km/h", "kilometre per hour", "kilometres per hour"),
        ("m²", "square metre", "square metres"),
        ("°C", "degree Celsius", "degrees Celsius"),
        ("GHz", "gigahertz", "gigahertz"),
        ("%", "percent", "percent"),
        ("‰", "per mille", "per mille"),
    ],
)
def test_a_unit_has_an_english_plural(sign: str, one: str, many: str) -> None:
    assert (UNITS[sign].one, UNITS[sign].many) == (one, many)


@pytest.mark.parametrize(
    ("sign", "many", "small"),
    [
        ("$", "dollars", "cents"),
        ("£", "pounds", "pence"),
        ("HK$", "Hong Kong dollars", "cents"),
        ("NT$", "Taiwan dollars", ""),
        ("¥", "yen", ""),
        ("RMB", "yuan", ""),
    ],
)
def test_a_currency_has_an_english_plural_and_perhaps_a_hundredth(sign: str, many: str, small: str) -> None:
    assert (CURRENCIES[sign].many, CURRENCIES[sign].small_many) == (many, small)


def test_every_unit_is_said_in_every_language() -> None:
    units: list[Unit] = [*UNITS.values(), *CURRENCIES.values()]
    assert all(unit.one and unit.many and unit.zh and unit.ko and unit.ja for unit in units)
    assert not any(char.isdigit() for unit in units for char in unit.one + unit.many + unit.zh + unit.ko + unit.ja)


def test_the_dollar_has_one_name_for_all_its_signs() -> None:
    assert CURRENCIES["$"] == CURRENCIES["US$"] == CURRENCIES["USD"]


def test_what_must_be_glued_is_a_unit() -> None:
    assert set(UNITS) >= ONLY_GLUED
