"""The forms in which a text writes what is not words: addresses, dates, times, amounts, telephone numbers, signs.

It finds and takes apart; how a form is said is for the tongues. Laws: every ASCII digit of a text is in some form, and
every sign of `SIGNS`; forms do not overlap; the work for a character is bounded (each pattern reads a bounded distance
or takes what it has read).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

from tts_service.core.spoken_units import CURRENCIES, ONLY_GLUED, UNITS

SIGNS: Final = "@#&+=%‰°℃℉×÷±≈≠≤≥$€£¥￥₩₹₽฿©®™№§²³−㎡"
FRACTIONS: Final = {
    "½": (1, 2), "⅓": (1, 3), "⅔": (2, 3), "¼": (1, 4), "¾": (3, 4), "⅕": (1, 5), "⅖": (2, 5), "⅗": (3, 5),
    "⅘": (4, 5), "⅙": (1, 6), "⅚": (5, 6), "⅛": (1, 8), "⅜": (3, 8), "⅝": (5, 8), "⅞": (7, 8),
}  # fmt: skip
MONTHS: Final = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip


class Form(Enum):
    """What a stretch of text is; of several that fit at one place the first counts."""

    ADDRESS = "address"
    EMAIL = "email"
    FACE = "face"
    TELEPHONE = "telephone"
    DATE = "date"
    MONTH_DAY = "month day"
    TIME = "time"
    HOUR = "hour"
    VERSION = "version"
    HEIGHT = "height"
    FRACTION = "fraction"
    RATIO = "ratio"
    ORDINAL = "ordinal"
    DECADE = "decade"
    POWER = "power"
    QUANTITY = "quantity"
    SIGN = "sign"


@dataclass(frozen=True, slots=True)
class Found:
    """One form at text[start:stop], with the parts that are there."""

    form: Form
    start: int
    stop: int
    parts: dict[str, str]


def _any(words: Iterator[str] | list[str]) -> str:
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))


_DOMAIN_ENDS = "com|org|net|edu|gov|info|io|ai|dev|app|co|uk|cn|tw|hk|jp|kr|fr|eu|tv"
_MONTH = "|".join(f"{name[:3]}(?:{name[3:]})?" for name in MONTHS).replace("Sep(?:tember)?", "Sep(?:t(?:ember)?)?")
_MONTH = rf"(?:{_MONTH})(?![a-z])"
_DAY = r"(?:3[01]|[12][0-9]|0?[1-9])"
_MONTH_NUMBER = r"(?:1[0-2]|0?[1-9])"
_YEAR = r"[12][0-9]{3}"
_HALF = r"(?:[AaPp]\.[Mm]\.|[AaPp][Mm](?![A-Za-z0-9]))"
_AMOUNT = r"(?:[0-9]{1,3}(?:,[0-9]{3}){1,6}(?![0-9])|[0-9]+)(?:\.[0-9]+)?"
_UNIT = rf"(?: ?(?:{_any([unit for unit in UNITS if unit not in ONLY_GLUED])})|{_any(list(ONLY_GLUED))})(?![A-Za-z0-9])"
_SIGN_UNIT = r" ?(?:[%‰℃℉㎡]|°[CF](?![A-Za-z])|°)"
_CURRENCY_SIGNS = _any([sign for sign in CURRENCIES if not sign.isalpha()])
_CURRENCY_CODES = _any([code for code in CURRENCIES if code.isalpha()])
_ALONE = r"(?<![A-Za-z0-9.,:/-])"  # where no longer word or number goes on
_TO = r"(?: ?[–~～〜] ?|—|(?:-| - )(?![0-9.,]{1,24} ?=))"

PATTERNS: Final[dict[Form, str]] = {
    Form.ADDRESS: (
        r"(?<![A-Za-z0-9])(?:[a-z]{2,8}://(?:www\.)?|www\.)(?P<url>[!-~]*[A-Za-z0-9/#=&_~%+$-])"
        rf"|(?<![A-Za-z0-9_.@-])(?P<domain>(?:[A-Za-z0-9-]{{1,63}}\.){{1,6}}(?:{_DOMAIN_ENDS})(?![A-Za-z0-9_-])"
        r"(?!\.[A-Za-z0-9])(?:/(?:[!-~]*[A-Za-z0-9/#=&_~%+$-])?)?)"
    ),
    Form.EMAIL: (
        r"(?<![A-Za-z0-9_.+%-])(?P<user>[A-Za-z0-9_.+%-]{1,64})@(?P<host>(?:[A-Za-z0-9-]{1,63}\.){1,6}[A-Za-z]{2,24})"
    ),
    Form.FACE: (
        r"(?<![A-Za-z0-9])(?:[:;=]['o-]?(?:[)\]](?![A-Za-z0-9/])|[(|\[\\/](?![\w/]))|<3+(?![0-9])|\^[._-]?\^|\^ \^)"
        r"|(?<!\w)[:;=]-?[DPp](?![\w/])|[ㅋㅎㅠㅜ]{2,}"
    ),
    Form.TELEPHONE: (
        r"(?<![A-Za-z0-9.,])(?P<number>\+[0-9]{1,3}(?:[ .-]?\(?[0-9]{1,4}\)?){2,6}"
        r"|\([0-9]{2,4}\) ?[0-9]{3,4}[- ][0-9]{4}"
        r"|(?:1-)?[0-9]{2,3}-[0-9]{3,4}-[0-9]{4}|[0-9]{3} [0-9]{3,4} [0-9]{4}|[0-9]{3}\.[0-9]{3,4}\.[0-9]{4}"
        r"|[0-9]{3}-[0-9]{4}|0[0-9]{1,3}-[0-9]{7,8}|0[0-9]{1,3}-[0-9]{3,4}-[0-9]{3,4}"
        r"|[0-9]{4}(?:[- ][0-9]{4}){2,4})(?![0-9-])"
    ),
    Form.DATE: (
        rf"{_ALONE}(?:(?P<year>{_YEAR})(?:[-/]|\. ?)(?P<month>{_MONTH_NUMBER})(?:[-/]|\. ?)(?P<day>{_DAY})"
        r"(?![0-9/-])(?!\.[0-9])(?:\.(?= ?[가-힣(]))?"
        rf"|(?P<first>[0-9]{{1,2}})(?P<slash>[./])(?P<second>[0-9]{{1,2}})[./](?P<last_year>{_YEAR})(?![0-9/]))"
    ),
    Form.MONTH_DAY: (
        rf"(?<![A-Za-z])(?P<name>{_MONTH})\.? (?P<name_day>{_DAY})(?:st|nd|rd|th)?(?![0-9:%A-Za-z])(?![.,][0-9])"
        rf"(?:,? (?P<name_year>{_YEAR})(?![0-9]))?"
        rf"|{_ALONE}(?P<day_first>{_DAY})(?:st|nd|rd|th)?(?: of)? (?P<name_behind>{_MONTH})(?![A-Za-z])"
        rf"(?:[.,]? (?P<year_behind>{_YEAR})(?![0-9]))?"
    ),
    Form.TIME: (
        rf"(?P<till>(?<=[0-9mM.]) ?[-–—~～〜] ?)?(?<![A-Za-z0-9.:])(?P<hour>2[0-4]|[01]?[0-9]):(?P<minute>[0-5][0-9])"
        rf"(?::(?P<second_of>[0-5][0-9]))?(?![0-9]|:[0-9])(?: ?(?P<half>{_HALF}))?"
    ),
    Form.HOUR: (
        rf"(?P<hour_till>(?<=[0-9mM.]) ?[-–—~～〜] ?)?(?<![A-Za-z0-9.:,])(?P<full_hour>1[0-2]|0?[1-9]) ?"
        rf"(?P<hour_half>{_HALF})"
    ),
    Form.VERSION: r"(?<![A-Za-z0-9.])(?P<version>[vV][0-9]+(?:\.[0-9]+)*|[0-9]+(?:\.[0-9]+){2,})(?::(?P<port>[0-9]+))?",
    Form.HEIGHT: r"(?<![A-Za-z0-9.])(?P<feet>[0-9])['’′](?P<inches>1[01]|[0-9])[\"”″]",
    Form.FRACTION: (
        r"(?<![A-Za-z0-9./,])(?:(?P<whole>[0-9]{1,3}) )?(?P<above>[0-9]{1,3})/(?P<below>[0-9]{1,3})"
        rf"(?![A-Za-z0-9/])(?!\.[0-9])|(?<![0-9.,])(?:(?P<whole_too>[0-9]{{1,3}}) ?)?(?P<vulgar>[{''.join(FRACTIONS)}])"
    ),
    Form.RATIO: r"(?<![A-Za-z0-9.:])(?P<left>[0-9]{1,4}):(?P<right>[0-9]{1,4})(?![0-9:])",
    Form.ORDINAL: r"(?P<place>[0-9]{1,3}(?:,[0-9]{3}){1,3}|[0-9]{1,12})(?:st|nd|rd|th)(?![A-Za-z])",
    Form.DECADE: r"(?P<decade>[12][0-9]{2}0)['’]?s(?![A-Za-z])|(?:(?<=[Tt]he )|['’])(?P<ten>[2-9]0)s(?![A-Za-z])",
    Form.POWER: r"(?<=[A-Za-z0-9)])(?:\^(?P<exponent>-?[0-9]{1,4})|(?P<raised>[²³]))",
    Form.QUANTITY: (
        r"(?:(?P<hyphen>(?<=[A-Za-z])-)|(?P<sign>(?<![A-Za-z0-9)\]])[-−–+]))?"
        rf"(?P<currency>(?:{_CURRENCY_SIGNS}) ?)?(?P<inner>(?<=[^\w ])-)?(?P<amount>{_AMOUNT}|(?<![A-Za-z0-9])\.[0-9]+)"
        rf"(?:(?P<to>{_TO})(?:{_CURRENCY_SIGNS})?(?P<amount_to>{_AMOUNT})(?![0-9:/]))?"
        r"(?P<scale> (?:thousand|million|billion|trillion)(?![A-Za-z])|(?:k|K|M|B|bn|T)(?![A-Za-z0-9])"
        r"|[万萬亿億만억조兆])?"
        rf"(?:(?P<unit>{_UNIT}|{_SIGN_UNIT})| ?(?P<code>{_CURRENCY_CODES})(?![A-Za-z])| ?(?P<behind>[€£₩]))?"
    ),
    Form.SIGN: (
        rf"(?P<char>[<>!=]=|[{re.escape(SIGNS)}]|(?<= )[<>](?= )|(?<=[\w)] )[*](?= [\w(])"
        r"|(?<=[0-9)])(?:-| - )(?=[0-9.,]{1,24} ?=)|(?<=[0-9A-Za-z])[*](?=[0-9])|~(?=[0-9])|(?<=[0-9])x(?=[0-9])"
        r"|(?<=[0-9])/(?=(?:second|minute|hour|day|night|week|month|year|person|user)(?![A-Za-z]))"
        r"|(?<![A-Za-z])[Nn]os?\.(?= ?[0-9]))"
    ),
}
_NAME = re.compile(r"\(\?P<\w+>")
_ANY_FORM = re.compile("|".join(f"(?P<{form.name}>{_NAME.sub('(?:', pattern)})" for form, pattern in PATTERNS.items()))
_FORMS = {form: re.compile(pattern) for form, pattern in PATTERNS.items()}


def find_forms(text: str) -> Iterator[Found]:
    """The forms of `text` from left to right."""
    for found in _ANY_FORM.finditer(text):
        form = Form[found.lastgroup or ""]
        parsed = _FORMS[form].match(text, found.start())
        assert parsed, "the same pattern matched here"
        parts = {name: part for name, part in parsed.groupdict().items() if part}
        yield Found(form, found.start(), found.end(), parts)
