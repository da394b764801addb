"""An amount as it is written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_service.core.spoken_amounts import Amount, read_amount

pytestmark = pytest.mark.core


@pytest.mark.parametrize(
    ("written", "sign", "amount"),
    [
        ("5", "", Amount("5")),
        ("1,234.50", "", Amount("1234", "50", is_grouped=True)),
        (".5", "", Amount("0", "5")),
        ("5", "-", Amount("5", sign="-")),
        ("5", "−", Amount("5", sign="-")),
        ("5", "–", Amount("5", sign="-")),
        ("5", "+", Amount("5", sign="+")),
    ],
)
def test_an_amount_is_read_from_its_digits(written: str, sign: str, amount: Amount) -> None:
    assert read_amount(written, sign) == amount


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("0", False),
        ("007", True),
        ("1234567", False),
        ("12345678", True),
        ("12,345,678", False),
        ("10000000", False),
        ("1234567890123450000", True),
    ],
)
def test_some_digits_are_a_code(written: str, expected: bool) -> None:
    assert read_amount(written).is_code is expected


@pytest.mark.parametrize(
    ("amount", "expected"),
    [
        (Amount("1099"), False),
        (Amount("1100"), True),
        (Amount("2099"), True),
        (Amount("2100"), False),
        (Amount("199"), False),
        (Amount("1999", "5"), False),
        (Amount("1999", sign="-"), False),
        (Amount("1999", is_grouped=True), False),
    ],
)
def test_four_digits_may_be_a_year(amount: Amount, expected: bool) -> None:
    assert amount.is_year is expected


@pytest.mark.parametrize(("amount", "expected"), [(Amount("1"), True), (Amount("1", "0"), False), (Amount("2"), False)])
def test_one_is_one(amount: Amount, expected: bool) -> None:
    assert amount.is_one is expected


@pytest.mark.parametrize(
    ("amount", "zeros", "whole", "decimals"),
    [
        (Amount("3", "5"), 6, "3500000", ""),
        (Amount("3", "1234"), 3, "3123", "4"),
        (Amount("0", "5"), 3, "500", ""),
        (Amount("0"), 3, "0", ""),
    ],
)
def test_the_point_moves(amount: Amount, zeros: int, whole: str, decimals: str) -> None:
    moved = amount.times_ten_to(zeros)
    assert (moved.whole, moved.decimals, moved.is_grouped) == (whole, decimals, True)


@given(st.from_regex(r"[0-9]{1,20}(\.[0-9]{1,5})?", fullmatch=True))
def test_its_digits_are_those_of_its_text(written: str) -> None:
    amount = read_amount(written)
    assert amount.whole + amount.decimals == written.replace(".", "")
