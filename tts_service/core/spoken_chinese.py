"""How Chinese says numbers, dates, times and signs, in simplified or traditional characters.

Years are read digit by digit. Two is 两 in front of a measure word and of 千, 万 and 亿, else 二.
"""

import re
from typing import ClassVar, Final

from tts_service.core.spoken_amounts import Amount
from tts_service.core.spoken_forms import Found
from tts_service.core.spoken_tongue import Clock, Said, Tongue
from tts_service.core.spoken_units import Unit

_NAMES: Final = tuple("零一二三四五六七八九")
_PLACES: Final = ("", "十", "百", "千")
_SCALES: Final = ("", "万", "亿", "万亿")
_TRADITIONAL: Final = str.maketrans(
    "两点万亿负摄欧镑韩币卢铢时华号于约钟权贝兹杠", "兩點萬億負攝歐鎊韓幣盧銖時華號於約鐘權貝茲槓"
)
_MEASURES: Final = (
    "个個位只隻本张張条條杯件次天年周週岁歲倍种種家台臺辆輛块塊斤米人名头頭匹间間座瓶碗盒包双雙对對套遍层層句篇首部支枝根"
    "颗顆棵片把门門段道顿頓份样樣场場回趟口扇艘架朵滴根粒株届屆排群所"
)
_TWO_BEFORE = re.compile(rf" ?(?:[{_MEASURES}百千万萬亿億元点點]|[小][时時]|[分秒][钟鐘]|公里|公斤|美元|星期|[学學]期)")
_WIDE: Final = {"万": "万", "萬": "万", "亿": "亿", "億": "亿", "兆": "兆"}
_YEAR_BEHIND = re.compile(" ?年")


class Chinese(Tongue):
    """See the module."""

    code = "zh"
    space, pause = "", "，"
    names = _NAMES
    minus, plus, point, to, versus = "负", "加", "点", "到", "比"
    dot, slash, at = "点", "斜杠", "at"
    number_sign, version_word = "第", "版本"
    called = re.compile(
        "(?:[拨撥致]打?|[电電][话話]|[热熱][线線]|密[码碼]|验证码|驗證碼|[号號][码碼]|尾[号號]|分[机機]|[编編][号號])"
        "[是为為：: ]?\\Z"
    )
    signs: ClassVar[dict[str, str]] = {
        "/": "每",
        "@": "at", "#": "井号", "C#": "sharp", "&": "和", "+": "加", "=": "等于", "%": "百分号", "‰": "千分号",
        "°": "度", "℃": "摄氏度", "℉": "华氏度", "×": "乘", "*": "乘", "~": "约", "÷": "除以", "±": "正负",
        "≈": "约等于", "≠": "不等于", "≤": "小于等于", "≥": "大于等于", "<": "小于", ">": "大于", "−": "减",
        "-": "减", "$": "美元", "€": "欧元", "£": "英镑", "¥": "元", "￥": "元", "₩": "韩元", "₹": "卢比",
        "₽": "卢布", "฿": "泰铢", "©": "版权", "®": "", "™": "", "№": "第", "§": "第", "²": "平方", "³": "立方",
        "㎡": "平方米",
    }  # fmt: skip

    def cardinal(self, digits: str) -> str:
        if digits == "0":
            return "零"
        words, has_gap = "", False
        padded = digits.zfill(-(-len(digits) // 4) * 4)
        groups = [padded[at : at + 4] for at in range(0, len(padded), 4)]
        for behind, group in zip(range(len(groups) - 1, -1, -1), groups, strict=True):
            if group == "0000":
                has_gap = bool(words)
                continue
            if words and (has_gap or group[0] == "0"):
                words += "零"
            words += ("两" if group == "0002" and behind else _thousands(group)) + _SCALES[behind]
            has_gap = False
        return words

    def plain(self, amount: Amount, before: str, after: str) -> Said:
        if len(amount.whole) == 4 and not amount.decimals and _YEAR_BEHIND.match(after):
            return Said(self.one_by_one(amount.whole))
        is_two = amount.whole == "2" and not amount.decimals and not amount.sign
        if is_two and before[-1:] not in ("第", "数") and _TWO_BEFORE.match(after):
            return Said("两")
        return Said(self.amount(amount))

    def date(self, year: str, month: int, day: int) -> str:
        words = f"{self.cardinal(str(month))}月{self.cardinal(str(day))}日"
        return f"{self.one_by_one(year)}年{words}" if year else words

    def clock(self, time: Clock) -> str:
        half = {"a.m.": "上午", "p.m.": "下午"}.get(time.half, "")
        words = f"{half}{'两' if time.hour == 2 else self.cardinal(str(time.hour))}点"
        if time.minute:
            words += f"{'零' if time.minute < 10 else ''}{self.cardinal(str(time.minute))}分"
        return words + (f"{self.cardinal(str(time.second))}秒" if time.second is not None else "")

    def money(self, words: str, amount: Amount, currency: Unit) -> str:
        return self._counted(words, currency.zh)

    def measure(self, words: str, amount: Amount, unit: Unit) -> str:
        if "{}" in unit.zh:
            sign = "负" if words.startswith("负") else ""
            return sign + unit.zh.format(words.removeprefix("负"))
        return self._counted(words, unit.zh)

    def parts_of(self, whole: int, above: int, below: int) -> str:
        words = f"{self.cardinal(str(below))}分之{self.cardinal(str(above))}"
        return f"{self.cardinal(str(whole))}又{words}" if whole else words

    def place(self, digits: str) -> str:
        return f"第{self.whole(Amount(digits))}"

    def power(self, exponent: str) -> str:
        usual = {"2": "平方", "3": "立方"}.get(exponent)
        sign = "负" if exponent[0] == "-" else ""
        return f"的{usual}" if usual else f"的{sign}{self.whole(Amount(exponent.lstrip('-')))}次方"

    def decade(self, digits: str) -> str:
        return f"{self.one_by_one(digits) if len(digits) == 4 else self.cardinal(digits)}年代"

    def year_or_amount(self, other: Amount, amount: Amount) -> str:
        return self.one_by_one(amount.whole) if amount.is_year and other.is_year else self.amount(amount)

    def multiplies(self, scale: str) -> bool:
        return scale != "兆" and super().multiplies(scale)

    def scaled(self, amount: Amount, scale: str) -> tuple[str, Amount]:
        if scale in _WIDE and (amount.decimals or scale == "兆"):  # that is a million, or a million millions
            return self.amount(amount) + _WIDE[scale], amount
        return super().scaled(amount, scale)

    def _counted(self, words: str, unit: str) -> str:
        return ("两" if words == "二" else words) + unit


class Traditional(Chinese):
    """The same words in traditional characters."""

    def say(self, found: Found, before: str, after: str) -> Said:
        said = super().say(found, before, after)
        return Said(said.words.translate(_TRADITIONAL), said.taken)


def _thousands(group: str) -> str:
    """Up to four digits, with 零 for those that are 0 between others."""
    words, has_gap = "", False
    for at, digit in enumerate(group):
        place = len(group) - 1 - at
        if digit == "0":
            has_gap = bool(words)
            continue
        if has_gap:
            words += "零"
        has_gap = False
        is_ten = place == 1 and digit == "1" and not words
        words += ("" if is_ten else "两" if digit == "2" and place == 3 else _NAMES[int(digit)]) + _PLACES[place]
    return words
