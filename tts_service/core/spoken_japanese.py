"""How Japanese says numbers, dates, times and signs: in hiragana, with the readings that counters ask for.

A number and its counter are one word whose sounds change with each other (さんぼん, ついたち), so both are written out;
then the smallest voice, which knows kana only, says them right.
"""

import re
from typing import ClassVar, Final

from tts_service.core.spoken_amounts import Amount
from tts_service.core.spoken_tongue import Clock, Said, Tongue
from tts_service.core.spoken_units import Unit

_NAMES: Final = ("ゼロ", "いち", "に", "さん", "よん", "ご", "ろく", "なな", "はち", "きゅう")
_HUNDREDS: Final = {"1": "ひゃく", "3": "さんびゃく", "6": "ろっぴゃく", "8": "はっぴゃく"}
_THOUSANDS: Final = {"1": "せん", "3": "さんぜん", "8": "はっせん"}
_SCALES: Final = ("", "まん", "おく", "ちょう")
_WIDE: Final = {"万": "まん", "億": "おく", "兆": "ちょう"}
_DAYS: Final = {
    1: "ついたち", 2: "ふつか", 3: "みっか", 4: "よっか", 5: "いつか", 6: "むいか", 7: "なのか", 8: "ようか",
    9: "ここのか", 10: "とおか", 14: "じゅうよっか", 20: "はつか", 24: "にじゅうよっか",
}  # fmt: skip
_THINGS: Final = (
    "", "ひとつ", "ふたつ", "みっつ", "よっつ", "いつつ", "むっつ", "ななつ", "やっつ", "ここのつ",
)  # fmt: skip
_BEFORE_TIME: Final = {"よん": "よ", "なな": "しち", "きゅう": "く"}  # 時, 月

# The counter's reading; behind 1, 6, 8 and 10 (small っ), behind 3; "" where nothing changes. Longer signs first.
_COUNTERS: Final[dict[str, tuple[str, str, str]]] = {
    "時間": ("じかん", "", ""), "週間": ("しゅうかん", "しゅうかん", ""), "年間": ("ねんかん", "", ""),
    "分間": ("ふんかん", "ぷんかん", "ぷんかん"), "か月": ("かげつ", "かげつ", ""), "ヶ月": ("かげつ", "かげつ", ""),
    "年": ("ねん", "", ""), "分": ("ふん", "ぷん", "ぷん"), "秒": ("びょう", "", ""), "円": ("えん", "", ""),
    "個": ("こ", "こ", ""), "回": ("かい", "かい", ""), "階": ("かい", "かい", "がい"), "本": ("ほん", "ぽん", "ぼん"),
    "匹": ("ひき", "ぴき", "びき"), "杯": ("はい", "ぱい", "ばい"), "冊": ("さつ", "さつ", ""),
    "歳": ("さい", "さい", ""), "才": ("さい", "さい", ""), "枚": ("まい", "", ""), "台": ("だい", "", ""),
    "度": ("ど", "", ""), "番": ("ばん", "", ""), "番目": ("ばんめ", "", ""), "倍": ("ばい", "", ""),
    "泊": ("はく", "ぱく", "ぱく"), "年生": ("ねんせい", "", ""), "回目": ("かいめ", "かいめ", ""),
    "次": ("じ", "", ""),
    "号室": ("ごうしつ", "", ""), "号": ("ごう", "", ""), "件": ("けん", "けん", ""), "頭": ("とう", "とう", ""),
    "章": ("しょう", "しょう", ""), "位": ("い", "", ""), "級": ("きゅう", "きゅう", ""), "割": ("わり", "", ""),
    "名": ("めい", "", ""), "世紀": ("せいき", "せいき", ""), "点": ("てん", "てん", ""),
}  # fmt: skip
_READINGS: Final = {counter: readings[0] for counter, readings in _COUNTERS.items()} | {"人": "にん"}
_TIMES_TEN_TO: Final = {"千万": 7, "百万": 6, "千": 3, "百": 2}
_OTHERS: Final = ("時", "月", "日間", "日", "人", "つ", *_TIMES_TEN_TO)
_COUNTER = re.compile(" ?(" + "|".join(sorted([*_COUNTERS, *_OTHERS], key=len, reverse=True)) + ")")
_SMALL_TSU: Final = {"いち": "いっ", "ろく": "ろっ", "はち": "はっ", "じゅう": "じゅっ", "ひゃく": "ひゃっ"}
_NOT_BEFORE_S_T: Final = frozenset({"ろく", "ひゃく"})  # ろくさい, but ろっこ


class Japanese(Tongue):
    """See the module."""

    code = "ja"
    space, pause = "", "、"
    names = _NAMES
    minus, plus, point, to, versus = "マイナス", "プラス", "てん", "から", "たい"
    dot, slash, at = "ドット", "スラッシュ", "アットマーク"
    number_sign, version_word = "ナンバー", "バージョン"
    called = re.compile("(?:電話|番号|コード|暗証番号)[はが：:]? ?\\Z")
    signs: ClassVar[dict[str, str]] = {
        "/": "まい",
        "@": "アットマーク", "#": "シャープ", "C#": "シャープ", "&": "アンド", "+": "たす", "=": "イコール",
        "%": "パーセント", "‰": "パーミル", "°": "ど", "℃": "ど", "℉": "ど", "×": "かける", "*": "かける",
        "~": "やく", "÷": "わる", "±": "プラスマイナス", "≈": "やく", "≠": "ノットイコール", "≤": "いか",
        "≥": "いじょう", "<": "しょうなり", ">": "だいなり", "−": "ひく", "-": "ひく", "$": "ドル",
        "€": "ユーロ", "£": "ポンド", "¥": "えん", "￥": "えん", "₩": "ウォン", "₹": "ルピー", "₽": "ルーブル",
        "฿": "バーツ", "©": "コピーライト", "®": "", "™": "", "№": "ナンバー", "§": "セクション",
        "²": "にじょう", "³": "さんじょう", "㎡": "へいほうメートル",
    }  # fmt: skip

    def cardinal(self, digits: str) -> str:
        if digits == "0":
            return "ゼロ"
        padded = digits.zfill(-(-len(digits) // 4) * 4)
        groups = [padded[at : at + 4] for at in range(0, len(padded), 4)]
        scales = reversed(_SCALES[: len(groups)])
        return "".join(_group(group, scale) for scale, group in zip(scales, groups, strict=True))

    def plain(self, amount: Amount, before: str, after: str) -> Said:
        found = _COUNTER.match(after)
        if not found or amount.is_code:
            return Said(self.amount(amount))
        if amount.decimals:
            counter = self.counter_behind(after)
            return Said(self.amount(amount) + counter.words, counter.taken)
        counted = self._with(amount.whole, found[1])
        sign = {"-": self.minus, "+": self.plus}.get(amount.sign, "")
        return Said(sign + counted, found.end()) if counted else Said(self.amount(amount))

    def _with(self, digits: str, counter: str) -> str:
        number = int(digits)
        if zeros := _TIMES_TEN_TO.get(counter):
            return self.cardinal(digits + "0" * zeros) if 0 < number < 10_000 else ""
        if counter == "時":
            return self._hour(number) + "じ" if number < 25 else ""
        if counter == "月":
            return ("し" if number == 4 else self._hour(number)) + "がつ" if 0 < number < 13 else ""
        if counter in ("日", "日間"):
            usual = None if counter == "日間" and number == 1 else _DAYS.get(number)
            return (usual or self.cardinal(digits) + "にち") + ("かん" if counter == "日間" else "")
        if counter == "人":
            words = {1: "ひとり", 2: "ふたり"}.get(number)
            return words or re.sub("よん\\Z", "よ", self.cardinal(digits)) + "にん"
        if counter == "つ":
            return _THINGS[number] if 0 < number < len(_THINGS) else ""
        if counter in ("歳", "才") and number == 20:
            return "はたち"
        return self._counted(digits, counter)

    def _counted(self, digits: str, counter: str) -> str:
        words, (reading, behind_small_tsu, behind_three) = self.cardinal(digits), _COUNTERS[counter]
        if counter in ("年", "年間", "年生", "円"):
            words = re.sub("よん\\Z", "よ", words)
        if behind_three and words.endswith("さん"):
            return words + behind_three
        if behind_small_tsu and behind_small_tsu[0] == "ぷ" and words.endswith("よん"):
            return words + behind_small_tsu
        for plain, small in _SMALL_TSU.items():
            is_hard = behind_small_tsu[:1] in ("さ", "し", "せ", "て", "と") and plain in _NOT_BEFORE_S_T
            if behind_small_tsu and words.endswith(plain) and not is_hard:
                return words.removesuffix(plain) + small + behind_small_tsu
        return words + reading

    def _hour(self, number: int) -> str:
        words = self.cardinal(str(number))
        for usual, short in _BEFORE_TIME.items():
            if words.endswith(usual):
                return words.removesuffix(usual) + short
        return "れい" if not number else words

    def scaled(self, amount: Amount, scale: str) -> tuple[str, Amount]:
        if scale in _WIDE and amount.decimals:
            return self.amount(amount) + _WIDE[scale], amount
        return super().scaled(amount, scale)

    def counter_behind(self, after: str) -> Said:
        found = _COUNTER.match(after)
        reading = _READINGS.get(found[1], "") if found else ""
        return Said(reading, found.end() if found and reading else 0)

    def date(self, year: str, month: int, day: int) -> str:
        words = self._with(str(month), "月") + self._with(str(day), "日")
        return self._with(year, "年") + words if year else words

    def clock(self, time: Clock) -> str:
        half = {"a.m.": "ごぜん", "p.m.": "ごご"}.get(time.half, "")
        words = f"{half}{self._hour(time.hour)}じ"
        if time.minute:
            words += self._counted(str(time.minute), "分")
        return words + (self._counted(str(time.second), "秒") if time.second is not None else "")

    def money(self, words: str, amount: Amount, currency: Unit) -> str:
        if currency.ja == "えん":
            words = re.sub("よん\\Z", "よ", words)
        return words + currency.ja

    def measure(self, words: str, amount: Amount, unit: Unit) -> str:
        if unit.ja == "分":
            return self._counted(amount.whole, unit.ja) if words == self.cardinal(amount.whole) else words + "ふん"
        return unit.ja.format(words) if "{}" in unit.ja else words + unit.ja

    def parts_of(self, whole: int, above: int, below: int) -> str:
        words = f"{self.cardinal(str(below))}ぶんの{self.cardinal(str(above))}"
        return f"{self.cardinal(str(whole))}と{words}" if whole else words

    def place(self, digits: str) -> str:
        return f"だい{self.whole(Amount(digits))}"

    def power(self, exponent: str) -> str:
        sign = "マイナス" if exponent[0] == "-" else ""
        return f"の{sign}{self.whole(Amount(exponent.lstrip('-')))}じょう"

    def decade(self, digits: str) -> str:
        return f"{self.cardinal(digits)}ねんだい"


def _group(group: str, scale: str) -> str:
    """Up to four digits and their scale, with the sounds that change between them."""
    thousands, hundreds, tens, ones = tuple(group)
    words = ""
    if thousands != "0":
        words += (
            "いっせん" if thousands == "1" and scale else _THOUSANDS.get(thousands, _NAMES[int(thousands)] + "せん")
        )
    if hundreds != "0":
        words += _HUNDREDS.get(hundreds, _NAMES[int(hundreds)] + "ひゃく")
    if tens != "0":
        words += ("" if tens == "1" else _NAMES[int(tens)]) + "じゅう"
    if ones != "0":
        words += _NAMES[int(ones)]
    if scale == "ちょう" and words.endswith(("いち", "はち")):
        words = words[:-1] + "っ"
    return words + scale if words else ""
