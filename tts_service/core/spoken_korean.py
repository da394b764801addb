"""How Korean says numbers, dates, times and signs.

Counters such as 개 and 명 take the native numbers (세 개), dates, minutes, money and measures the Sino-Korean ones.
"""

import re
from typing import ClassVar, Final

from tts_service.core.spoken_amounts import Amount
from tts_service.core.spoken_tongue import Clock, Said, Tongue
from tts_service.core.spoken_units import Unit

_NAMES: Final = tuple("영일이삼사오육칠팔구")
_PLACES: Final = ("", "십", "백", "천")
_SCALES: Final = ("", "만", "억", "조")
_NATIVE: Final = ("", "한", "두", "세", "네", "다섯", "여섯", "일곱", "여덟", "아홉")
_NATIVE_TENS: Final = ("", "열", "스물", "서른", "마흔", "쉰", "예순", "일흔", "여든", "아흔")
_MONTHS: Final = {6: "유", 10: "시"}
# Behind these more of a word makes another counter: 달러 is no 달, 번호 no 번, 개월 no 개.
_COUNTER = re.compile(
    " ?(?P<counter>번째|시간|가지|사람|마리|그루|송이|켤레|자루|군데|조각|그릇|봉지|방울|바퀴|숟가락|마디|"
    "명|살|권|잔|병|장|벌|채|척|곳|끼|통|쌍|줄|판|개(?!월|년|국)|시(?!즌|리즈|드|속)|"
    "대(?!째|학| ?[0-9])|달(?!러)|배(?!럴)|"
    "번(?!지|호|길| ?(?:출구|버스|문제|선수|타자|게이트|창구|트랙|국도|채널)))"
)
_MONTH_BEHIND = re.compile(" ?월")
_FIRST_SINO_HOUR: Final = 13
_FIRST_SINO_NUMBER: Final = 100


class Korean(Tongue):
    """See the module."""

    code = "ko"
    names = _NAMES
    minus, plus, point, to, versus = "마이너스", "플러스", "점", "에서", "대"
    dot, slash, at = "점", "슬래시", "골뱅이"
    number_sign, version_word = "넘버", "버전"
    called = re.compile("(?:전화|번호|코드|비밀번호)(?:는|은|:)? ?\\Z")
    signs: ClassVar[dict[str, str]] = {
        "/": "퍼",
        "@": "골뱅이", "#": "샵", "C#": "샵", "&": "앤드", "+": "더하기", "=": "은", "%": "퍼센트", "‰": "퍼밀",
        "°": "도", "℃": "도", "℉": "도", "×": "곱하기", "*": "곱하기", "~": "약", "÷": "나누기",
        "±": "플러스마이너스", "≈": "약", "≠": "같지 않다", "≤": "이하", "≥": "이상", "<": "보다 작다",
        ">": "보다 크다", "−": "빼기", "-": "빼기", "$": "달러", "€": "유로", "£": "파운드", "¥": "엔",
        "￥": "엔", "₩": "원", "₹": "루피", "₽": "루블", "฿": "바트", "©": "저작권", "®": "", "™": "",
        "№": "번호", "§": "절", "²": "제곱", "³": "세제곱", "㎡": "제곱미터",
    }  # fmt: skip

    def cardinal(self, digits: str) -> str:
        if digits == "0":
            return "영"
        padded = digits.zfill(-(-len(digits) // 4) * 4)
        groups = [padded[at : at + 4] for at in range(0, len(padded), 4)]
        words: list[str] = []
        for scale, group in zip(reversed(_SCALES[: len(groups)]), groups, strict=True):
            if group == "0001" and scale == "만" and not words:
                words.append(scale)
            elif group != "0000":
                words.append(_thousands(group) + scale)
        return " ".join(words)

    def one_by_one(self, digits: str) -> str:
        return "".join(self.names[int(digit)] for digit in digits)

    def plain(self, amount: Amount, before: str, after: str) -> Said:
        if amount.decimals or amount.sign or amount.is_code:
            return Said(self.amount(amount))
        number = int(amount.whole)
        if number in _MONTHS and _MONTH_BEHIND.match(after):
            return Said(_MONTHS[number])
        found = _COUNTER.match(after)
        if not found or before.rstrip().endswith("제") or not self._is_native(number, found["counter"]):
            return Said(self.amount(amount))
        if number == 1 and found["counter"] == "번째":
            return Said("첫 번째", found.end())
        return Said(f"{native(number)} {found['counter']}", found.end())

    def from_(self, amount: Amount, before: str, after: str) -> str:
        return self.plain(amount, before, after).words

    def _is_native(self, number: int, counter: str) -> bool:
        if counter in ("시", "시간"):
            return 0 < number < _FIRST_SINO_HOUR
        if counter == "번" and number > 10:
            return False
        if counter == "대" and number >= 10 and number % 10 == 0:  # people of that age
            return False
        return 0 < number < _FIRST_SINO_NUMBER

    def date(self, year: str, month: int, day: int) -> str:
        words = f"{_MONTHS.get(month) or self.cardinal(str(month))}월 {self.cardinal(str(day))}일"
        return f"{self.cardinal(year)}년 {words}" if year else words

    def clock(self, time: Clock) -> str:
        half = {"a.m.": "오전 ", "p.m.": "오후 "}.get(time.half, "")
        is_native = 0 < time.hour < _FIRST_SINO_HOUR
        words = f"{half}{native(time.hour) if is_native else self.cardinal(str(time.hour))} 시"
        if time.minute:
            words += f" {self.cardinal(str(time.minute))} 분"
        return words + (f" {self.cardinal(str(time.second))} 초" if time.second is not None else "")

    def money(self, words: str, amount: Amount, currency: Unit) -> str:
        return f"{words} {currency.ko}"

    def measure(self, words: str, amount: Amount, unit: Unit) -> str:
        return unit.ko.format(words) if "{}" in unit.ko else f"{words} {unit.ko}"

    def parts_of(self, whole: int, above: int, below: int) -> str:
        words = f"{self.cardinal(str(below))}분의 {self.cardinal(str(above))}"
        return f"{self.cardinal(str(whole))}와 {words}" if whole else words

    def place(self, digits: str) -> str:
        return f"제{self.whole(Amount(digits))}"

    def power(self, exponent: str) -> str:
        usual = {"2": "제곱", "3": "세제곱"}.get(exponent)
        sign = "마이너스 " if exponent[0] == "-" else ""
        return usual or f"의 {sign}{self.whole(Amount(exponent.lstrip('-')))} 제곱"

    def decade(self, digits: str) -> str:
        return f"{self.cardinal(digits)}년대"

    def scaled(self, amount: Amount, scale: str) -> tuple[str, Amount]:
        if scale in ("만", "억", "조") and amount.decimals:
            return self.amount(amount) + scale, amount
        return super().scaled(amount, scale)

    def joined(self, left: str, word: str, right: str) -> str:
        return f"{left}{word} {right}" if word == self.to else f"{left} {word} {right}"


def native(number: int) -> str:
    """1 to 99 as they stand in front of a counter."""
    ten, rest = divmod(number, 10)
    if number == 20:
        return "스무"
    return _NATIVE_TENS[ten] + _NATIVE[rest]


def _thousands(group: str) -> str:
    words = ""
    for at, digit in enumerate(group):
        place = len(group) - 1 - at
        if digit != "0":
            words += ("" if digit == "1" and place else _NAMES[int(digit)]) + _PLACES[place]
    return words
