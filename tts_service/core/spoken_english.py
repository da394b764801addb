"""How English says numbers, dates, times and signs.

Months come first in a date, as in the United States. Four digits are a year (twenty twenty-six) unless they count what
follows.
"""

import re
from typing import ClassVar, Final

from tts_service.core.spoken_amounts import Amount
from tts_service.core.spoken_forms import MONTHS
from tts_service.core.spoken_tongue import Clock, Said, Tongue
from tts_service.core.spoken_units import Unit

_SMALL: Final = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS: Final = ("", "ten", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_SCALES: Final = ("", " thousand", " million", " billion", " trillion")
_PLACES: Final = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth",
    "twelve": "twelfth",
}  # fmt: skip
_LAST_WORD = re.compile(r"[a-z]+\Z")
_BEFORE_YEAR = re.compile(
    r"\b(?:in|since|until|till|by|from|to|of|year|years|before|after|during|around|circa|through|between|the|early|"
    r"late|mid|and|©|(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*\.?,?) ?\Z",
    re.IGNORECASE,
)
_BEHIND_YEAR = re.compile(
    r" (?:was|is|will|has|had|and|or|to|by|through|until|the|when|as|but|saw|BC|AD|BCE|CE)\b| ?(?![\w ])|\Z"
)

_EARLIEST, _EARLIEST_ALONE, _LATEST = "1000", "1500", "2100"


class English(Tongue):
    """See the module."""

    code = "en"
    names = _SMALL[:10]
    minus, plus, point, to, versus = "minus", "plus", "point", "to", "to"
    dot, slash, at = "dot", "slash", "at"
    number_sign, version_word = "number", "version"
    called = re.compile(r"\b(?:call|dial|text|code|pin|zip|ext\.?|extension|is on) ?\Z", re.IGNORECASE)
    signs: ClassVar[dict[str, str]] = {
        "/": "per",
        "@": "at", "#": "hash", "C#": "sharp", "&": "and", "+": "plus", "=": "equals", "%": "percent",
        "‰": "per mille", "°": "degrees", "℃": "degrees Celsius", "℉": "degrees Fahrenheit", "×": "times",
        "*": "times", "~": "about", "÷": "divided by", "±": "plus or minus", "≈": "about", "≠": "is not",
        "≤": "at most", "≥": "at least", "<": "is less than", ">": "is greater than", "−": "minus", "-": "minus",
        "$": "dollars", "€": "euros", "£": "pounds", "¥": "yen", "￥": "yen", "₩": "won", "₹": "rupees",
        "₽": "roubles", "฿": "baht", "©": "copyright", "®": "", "™": "", "№": "number", "§": "section",
        "²": "squared", "³": "cubed", "㎡": "square metres",
    }  # fmt: skip

    def cardinal(self, digits: str) -> str:
        number, scale, groups = int(digits), 0, list[str]()
        if not number:
            return "zero"
        while number:
            number, group = divmod(number, 1000)
            if group:
                groups.append(_hundreds(group) + _SCALES[scale])
            scale += 1
        return " ".join(reversed(groups))

    def plain(self, amount: Amount, before: str, after: str) -> Said:
        is_bare = len(amount.whole) == 4 and not (amount.decimals or amount.sign or amount.is_grouped)
        if is_bare and _EARLIEST <= amount.whole < _LATEST and _BEFORE_YEAR.search(before):
            return Said(self.year(amount.whole))
        if is_bare and _EARLIEST_ALONE <= amount.whole < _LATEST and _BEHIND_YEAR.match(after):
            return Said(self.year(amount.whole))
        return Said(self.amount(amount))

    def year_or_amount(self, other: Amount, amount: Amount) -> str:
        return self.year(amount.whole) if amount.is_year and other.is_year else self.amount(amount)

    def year(self, digits: str) -> str:
        """Four digits, in two pairs."""
        century, rest = int(digits[:2]), int(digits[2:])
        if century % 10 == 0 and rest < 10:
            return self.cardinal(digits)
        if not rest:
            return f"{_tens(century)} hundred"
        return f"{_tens(century)} {_tens(rest) if rest > 9 else 'oh ' + _SMALL[rest]}"

    def date(self, year: str, month: int, day: int) -> str:
        words = f"{MONTHS[month - 1]} {self.place(str(day))}"
        return f"{words}, {self.year(year)}" if year else words

    def day_first(self, year: str, month: int, day: int, before: str) -> str:
        article = "" if before.endswith("the ") else "the "
        words = f"{article}{self.place(str(day))} of {MONTHS[month - 1]}"
        return f"{words}, {self.year(year)}" if year else words

    def clock(self, time: Clock) -> str:
        words = _tens(time.hour)
        if time.minute:
            words += f" {_tens(time.minute)}" if time.minute > 9 else f" oh {_SMALL[time.minute]}"
        elif time.minute == 0 and not time.half:
            words += " o'clock" if 0 < time.hour < 13 else " hundred"
        if time.second is not None:
            words += f" and {_counted(time.second, 'second')}"
        return f"{words} {time.half}" if time.half else words

    def money(self, words: str, amount: Amount, currency: Unit) -> str:
        has_small = currency.small_one and len(amount.decimals) == 2 and self.amount(amount) == words
        if not has_small:
            return f"{words} {currency.one if amount.is_one and words == 'one' else currency.many}"
        small = int(amount.decimals)
        sign = {"-": "minus ", "+": "plus "}.get(amount.sign, "")
        large = f"{self.whole(amount)} {currency.one if amount.whole == '1' else currency.many}"
        smalls = _counted(small, currency.small_one, currency.small_many)
        if not small:
            return sign + large
        return sign + (smalls if amount.whole == "0" else f"{large} and {smalls}")

    def measure(self, words: str, amount: Amount, unit: Unit) -> str:
        return f"{words} {unit.one if amount.is_one and words.endswith('one') else unit.many}"

    def paid(self, amount: Amount) -> Amount:
        return amount

    def parts_of(self, whole: int, above: int, below: int) -> str:
        if not whole and below in (10, 100):  # marks out of ten
            return f"{self.cardinal(str(above))} out of {self.cardinal(str(below))}"
        one = {2: "half", 4: "quarter"}.get(below) or self.place(str(below))
        many = {2: "halves"}.get(below) or one + "s"
        if whole:
            front = f"{self.cardinal(str(whole))} and "
            return front + (f"a {one}" if above == 1 and below in (2, 4) else _counted(above, one, many))
        return _counted(above, one, many)

    def place(self, digits: str) -> str:
        words = self.whole(Amount(digits))
        last = _LAST_WORD.search(words)
        assert last, "a number ends with a word"
        word = last[0]
        ordinal = _PLACES.get(word) or (word[:-1] + "ieth" if word.endswith("y") else word + "th")
        return words[: last.start()] + ordinal

    def power(self, exponent: str) -> str:
        usual = {"2": "squared", "3": "cubed"}.get(exponent)
        sign = "minus " if exponent[0] == "-" else ""
        return usual or f"to the power of {sign}{self.whole(Amount(exponent.lstrip('-')))}"

    def decade(self, digits: str) -> str:
        words = self.year(digits) if len(digits) == 4 else _tens(int(digits))
        return words[:-1] + "ies" if words.endswith("y") else words + "s"

    def scaled(self, amount: Amount, scale: str) -> tuple[str, Amount]:
        word = {"k": "thousand", "K": "thousand", "M": "million", "B": "billion", "bn": "billion", "T": "trillion"}
        if scale.isascii():
            return f"{self.amount(amount)} {word.get(scale, scale)}", amount
        return super().scaled(amount, scale)


def _tens(number: int) -> str:
    if number < 20:
        return _SMALL[number]
    ten, rest = divmod(number, 10)
    return f"{_TENS[ten]}-{_SMALL[rest]}" if rest else _TENS[ten]


def _hundreds(number: int) -> str:
    hundred, rest = divmod(number, 100)
    if not hundred:
        return _tens(rest)
    return f"{_SMALL[hundred]} hundred {_tens(rest)}" if rest else f"{_SMALL[hundred]} hundred"


def _counted(number: int, one: str, many: str = "") -> str:
    return f"{_hundreds(number)} {one if number == 1 else many or one + 's'}"
