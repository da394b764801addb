"""What all tongues share: how a form is taken apart and put into words; each tongue says the parts its own way.

Laws: every form has words or is dropped, none raises; no digit is left in what is said.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from tts_service.core.spoken_amounts import Amount, read_amount
from tts_service.core.spoken_forms import FRACTIONS, MONTHS, Form, Found
from tts_service.core.spoken_units import CURRENCIES, UNITS, Unit

_ZEROS: Final = {
    "thousand": 3, "million": 6, "billion": 9, "trillion": 12, "k": 3, "K": 3, "M": 6, "B": 9, "bn": 9, "T": 12,
    "万": 4, "萬": 4, "亿": 8, "億": 8, "만": 4, "억": 8, "조": 12, "兆": 12,
}  # fmt: skip
_OF_MONEY_ALONE: Final = frozenset({"K", "B", "bn", "T"})  # 4K and 7B are names
_DIGITS = re.compile("[0-9]+")
_NO_LETTER = re.compile(r"[!-@\[-`{-~]+")  # of ASCII
_NO_FRACTIONS: Final = frozenset({("24", "7"), ("9", "11"), ("50", "50")})  # all the time; a day; half and half
_ALIKE_SIGNS: Final = {">=": "≥", "<=": "≤", "!=": "≠", "==": "=", "x": "×"}
_WIDE_SCALES: Final = frozenset("万萬亿億만억조兆")
_NAME_END = re.compile(r"(?<![0-9])[A-Za-z](?<!FY)\Z")  # BA117, but FY2024 and 1920x1080
_SHORT_PATH = re.compile(r"/([A-Za-z]{1,12})/?")


@dataclass(frozen=True, slots=True)
class Said:
    """The words of a form, and how many characters behind it they speak for too, such as a counter."""

    words: str
    taken: int = 0


@dataclass(frozen=True, slots=True)
class Clock:
    """A time of day; `half` is "a.m.", "p.m." or ""."""

    hour: int
    minute: int | None = None
    second: int | None = None
    half: str = ""


class Tongue(ABC):
    """One language. `before` and `after` are the text around a form."""

    code: str  # of the language
    space: str = " "  # between the words of one form
    pause: str = ", "  # between the groups of a telephone number
    names: tuple[str, ...]  # of the digits, one by one
    minus: str
    plus: str
    point: str
    to: str  # 3-5; {} is what follows, for the languages that count so
    versus: str  # 3:2
    dot: str
    slash: str
    at: str
    signs: ClassVar[dict[str, str]]
    called: re.Pattern[str]  # what stands before a number that is named digit by digit: "dial"
    number_sign: str  # "#" before a digit
    version_word: str

    def __init__(self) -> None:
        self._ways: dict[Form, Callable[[Found, str, str], Said]] = {
            Form.ADDRESS: self._address,
            Form.EMAIL: self._email,
            Form.FACE: lambda found, before, after: Said(""),
            Form.TELEPHONE: self._telephone,
            Form.DATE: self._date,
            Form.MONTH_DAY: self._month_day,
            Form.TIME: self._time,
            Form.HOUR: self._time,
            Form.VERSION: self._version,
            Form.HEIGHT: self._height,
            Form.FRACTION: self._fraction,
            Form.RATIO: self._ratio,
            Form.ORDINAL: self._ordinal,
            Form.DECADE: self._decade,
            Form.POWER: self._power,
            Form.QUANTITY: self._quantity,
            Form.SIGN: self._sign,
        }

    def say(self, found: Found, before: str, after: str) -> Said:
        """The words of a form."""
        return self._ways[found.form](found, before, after)

    # What each tongue says its own way

    @abstractmethod
    def cardinal(self, digits: str) -> str:
        """A whole number of at most 15 digits that does not begin with 0, unless it is 0."""

    @abstractmethod
    def plain(self, amount: Amount, before: str, after: str) -> Said:
        """A number without unit: a year, or what the next word counts."""

    @abstractmethod
    def date(self, year: str, month: int, day: int) -> str:
        """`year` may be ""."""

    def day_first(self, year: str, month: int, day: int, before: str) -> str:
        """A date in English letters that is written 20 November."""
        return self.date(year, month, day)

    @abstractmethod
    def clock(self, time: Clock) -> str:
        """The time of day."""

    @abstractmethod
    def money(self, words: str, amount: Amount, currency: Unit) -> str:
        """`words` say the amount, perhaps as a range that ends with `amount`."""

    @abstractmethod
    def measure(self, words: str, amount: Amount, unit: Unit) -> str:
        """Likewise for a unit."""

    @abstractmethod
    def parts_of(self, whole: int, above: int, below: int) -> str:
        """A fraction, perhaps behind a whole number."""

    @abstractmethod
    def place(self, digits: str) -> str:
        """An ordinal written in the English way: 3rd."""

    @abstractmethod
    def power(self, exponent: str) -> str:
        """What stands behind the base: squared."""

    @abstractmethod
    def decade(self, digits: str) -> str:
        """1990s, or the 90s."""

    def paid(self, amount: Amount) -> Amount:
        """The amount of money that is said: 3.5 for 3.50."""
        return replace(amount, decimals=amount.decimals.rstrip("0"))

    def from_(self, amount: Amount, before: str, after: str) -> str:
        """The first side of a range that counts what follows."""
        return self.amount(amount)

    def year_or_amount(self, other: Amount, amount: Amount) -> str:
        """One side of a range, of which `other` is the other."""
        return self.amount(amount)

    def multiplies(self, scale: str) -> bool:
        """Whether a number with this scale is said as the number that it makes: 3万 is 30000."""
        return scale in _WIDE_SCALES

    def scaled(self, amount: Amount, scale: str) -> tuple[str, Amount]:
        """The words of an amount with a scale such as "M", and what it amounts to."""
        scaled = amount.times_ten_to(_ZEROS[scale])
        return self.amount(scaled), scaled

    # What they share

    def one_by_one(self, digits: str) -> str:
        return self.space.join(self.names[int(digit)] for digit in digits)

    def whole(self, amount: Amount) -> str:
        return self.one_by_one(amount.whole) if amount.is_code else self.cardinal(amount.whole)

    def amount(self, amount: Amount) -> str:
        """The number without what it counts."""
        words = self.whole(amount)
        if amount.decimals:
            words = self.space.join((words, self.point, self.one_by_one(amount.decimals)))
        sign = {"-": self.minus, "+": self.plus}.get(amount.sign)
        return f"{sign}{self.space}{words}" if sign else words

    def joined(self, left: str, word: str, right: str) -> str:
        return self.space.join((left, word, right))

    def spelt(self, label: str) -> str:
        """Part of an address: its digits one by one, its hyphens and underscores as spaces."""
        words = _DIGITS.sub(lambda run: f" {self.one_by_one(run[0])} ", label)
        return " ".join(_NO_LETTER.sub(" ", words).split())

    def _host(self, host: str) -> str:
        labels = [spelt for label in host.split(".") if (spelt := self.spelt(label))]
        return f" {self.dot} ".join(labels)

    def _address(self, found: Found, before: str, after: str) -> Said:
        address = found.parts.get("url") or found.parts["domain"]
        host, slash, path = address.partition("/")
        short = _SHORT_PATH.fullmatch(slash + path)
        tail = f" {self.slash} {short[1]}" if short else ""
        return Said(self._host(host.rpartition("@")[2].partition(":")[0].partition("?")[0]) + tail)

    def _email(self, found: Found, before: str, after: str) -> Said:
        return Said(f"{self._host(found.parts['user'])} {self.at} {self._host(found.parts['host'])}")

    def _telephone(self, found: Found, before: str, after: str) -> Said:
        number = found.parts["number"]
        groups = self.pause.join(self.one_by_one(group) for group in _DIGITS.findall(number))
        return Said(f"{self.plus}{self.space}{groups}" if number.startswith("+") else groups)

    def _date(self, found: Found, before: str, after: str) -> Said:
        parts = found.parts
        if "year" in parts:
            return Said(self.date(parts["year"], int(parts["month"]), int(parts["day"])))
        first, second = int(parts["first"]), int(parts["second"])
        is_month_first = parts["slash"] == "/"  # as in the United States; 20.11.2026 is German
        month, day = (first, second) if is_month_first else (second, first)
        if month > 12:
            month, day = day, month
        if not (1 <= month <= 12 and 1 <= day <= 31):
            numbers = (parts["first"], parts["second"], parts["last_year"])
            return Said(self.pause.join(self.whole(Amount(number)) for number in numbers))
        return Said(self.date(parts["last_year"], month, day))

    def _month_day(self, found: Found, before: str, after: str) -> Said:
        parts = found.parts
        name = parts.get("name") or parts["name_behind"]
        month = next(number for number, full in enumerate(MONTHS, 1) if name.startswith(full[:3]))
        if day := parts.get("name_day"):
            return Said(self.date(parts.get("name_year", ""), month, int(day)))
        return Said(self.day_first(parts.get("year_behind", ""), month, int(parts["day_first"]), before))

    def _time(self, found: Found, before: str, after: str) -> Said:
        parts = found.parts
        half = parts.get("half") or parts.get("hour_half", "")
        minute, second = parts.get("minute"), parts.get("second_of")
        words = self.clock(
            Clock(
                int(parts.get("hour") or parts["full_hour"]),
                None if minute is None else int(minute),
                None if second is None else int(second),
                half and f"{half[0].lower()}.m.",
            )
        )
        is_till = "till" in parts or "hour_till" in parts
        return Said(f"{self.to}{self.space}{words}" if is_till else words)

    def _version(self, found: Found, before: str, after: str) -> Said:
        version = found.parts["version"]
        numbers = [self.whole(Amount(number)) for number in _DIGITS.findall(version)]
        words = f"{self.space}{self.point}{self.space}".join(numbers)
        if port := found.parts.get("port"):
            words += self.pause + self.whole(Amount(port))
        needs_word = version[0] in "vV" and not before.rstrip().endswith(self.version_word)
        return Said(f"{self.version_word}{self.space}{words}" if needs_word else words)

    def _height(self, found: Found, before: str, after: str) -> Said:
        feet, inches = Amount(found.parts["feet"]), Amount(found.parts["inches"])
        words = (
            self.measure(self.amount(amount), amount, UNITS[sign]) for amount, sign in ((feet, "ft"), (inches, "″"))
        )
        return Said(self.space.join(words))

    def _fraction(self, found: Found, before: str, after: str) -> Said:
        parts = found.parts
        whole = int(parts.get("whole") or parts.get("whole_too") or 0)
        if vulgar := parts.get("vulgar"):
            return Said(self.parts_of(whole, *FRACTIONS[vulgar]))
        above, below = parts["above"], parts["below"]
        if int(below) < 2 or above.startswith("0") or (above, below) in _NO_FRACTIONS:
            numbers = (parts.get("whole"), above, below)
            return Said(" ".join(self.whole(Amount(number)) for number in numbers if number))
        return Said(self.parts_of(whole, int(above), int(below)))

    def _ratio(self, found: Found, before: str, after: str) -> Said:
        left, right = (self.whole(Amount(found.parts[side])) for side in ("left", "right"))
        return Said(self.joined(left, self.versus, right))

    def _ordinal(self, found: Found, before: str, after: str) -> Said:
        return Said(self.place(found.parts["place"].replace(",", "")))

    def _decade(self, found: Found, before: str, after: str) -> Said:
        return Said(self.decade(found.parts.get("decade") or found.parts["ten"]))

    def _power(self, found: Found, before: str, after: str) -> Said:
        exponent = found.parts.get("exponent") or {"²": "2", "³": "3"}[found.parts["raised"]]
        return Said(self.power(exponent))

    def _sign(self, found: Found, before: str, after: str) -> Said:
        char = found.parts["char"].strip()
        char = _ALIKE_SIGNS.get(char, char)
        if char[0] in "Nn":
            return Said(self.number_sign)
        if char == "#":
            if after[:1].isdecimal():
                return Said(self.number_sign)
            return Said(self.signs["C#"] if before[-1:] in ("C", "F") else self.signs["#"])
        return Said(self.signs[char])

    def _quantity(self, found: Found, before: str, after: str) -> Said:
        parts = found.parts
        first = read_amount(parts["amount"], parts.get("sign") or parts.get("inner", ""))
        last = read_amount(parts["amount_to"]) if "amount_to" in parts else None
        money = parts.get("currency", "").strip() or parts.get("code") or parts.get("behind", "")
        scale, unit = parts.get("scale", "").strip(), parts.get("unit", "").strip()
        if money and unit == "m":
            scale = "M"  # £3m
        if not (last or money or unit or first.decimals) and self.multiplies(scale):
            return self.plain(first.times_ten_to(_ZEROS[scale]), before, after)
        if not (money or scale or unit):
            return self._plain_span(first, last, before, after) if last else self._one(first, before, after)
        if money:
            words, end = self._span(self.paid(first), last and self.paid(last), scale)
            return Said(self.money(words, end, CURRENCIES[money]))
        is_name = scale in _OF_MONEY_ALONE
        words, end = self._span(first, last, "" if is_name else scale)
        if unit:
            return Said(self.measure(words, end, UNITS[unit]))
        counter = self.counter_behind(after)
        return Said(words + (f" {scale}" if is_name else counter.words), 0 if is_name else counter.taken)

    def counter_behind(self, after: str) -> Said:
        """The counter behind a number with a scale, where it is not said as it is written."""
        return Said("")

    def _one(self, amount: Amount, before: str, after: str) -> Said:
        if len(amount.whole) > 2 and not (amount.decimals or amount.is_grouped) and self.called.search(before):
            return Said(self.one_by_one(amount.whole))
        if _NAME_END.search(before) and len(amount.whole) > 2 and not amount.decimals:
            return Said(self.one_by_one(amount.whole))
        return self.plain(amount, before, after)

    def _plain_span(self, first: Amount, last: Amount, before: str, after: str) -> Said:
        if _is_code(first, last) or _falls(first, last) or (first.is_year and last.is_year):
            return Said(self._span(first, last, "")[0])
        left, right = self.from_(first, before, after), self.plain(last, before, after)
        return Said(self.joined(left, self.to, right.words), right.taken)

    def _span(self, first: Amount, last: Amount | None, scale: str) -> tuple[str, Amount]:
        """The words of one amount, or of a range, and the amount that a unit agrees with."""
        if last is None:
            return self.scaled(first, scale) if scale else (self.amount(first), first)
        if _is_code(first, last):
            return f"{self.one_by_one(first.whole)}{self.pause}{self.one_by_one(last.whole)}", last
        left = self.year_or_amount(last, first)
        right, end = self.scaled(last, scale) if scale else (self.year_or_amount(first, last), last)
        return self.joined(left, self.versus if _falls(first, last) else self.to, right), end


def _is_code(first: Amount, last: Amount) -> bool:
    """Whether what looks like a range is a number in two groups: 010-5678, 1588-1234."""
    if first.decimals or last.decimals:
        return False
    is_no_span = len(first.whole) == len(last.whole) == 4 and first.whole >= last.whole
    return first.is_code or last.is_code or is_no_span


def _falls(first: Amount, last: Amount) -> bool:
    return (len(first.whole), first.whole) > (len(last.whole), last.whole)
