"""The units and currencies that replies write as signs, and how four languages say them.

In the languages other than English {} stands for the number where it does not simply come first.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Unit:
    """English in the singular and the plural; the others have one form. `small` is a currency's hundredth."""

    one: str
    many: str
    zh: str
    ko: str
    ja: str
    small_one: str = ""
    small_many: str = ""


_PLURALS: Final = {"foot": "feet", "inch": "inches", "yen": "yen", "won": "won", "yuan": "yuan", "baht": "baht"}
_ATTRIBUTES: Final = frozenset({"square", "cubic", "Hong", "Kong", "Taiwan", "Australian", "Canadian"})
_UNITS: Final = """
km|kilometre|公里|킬로미터|キロメートル
m|metre|米|미터|メートル
cm|centimetre|厘米|센티미터|センチメートル
mm|millimetre|毫米|밀리미터|ミリメートル
″|inch|英寸|인치|インチ
mi|mile|英里|마일|マイル
ft|foot|英尺|피트|フィート
kg|kilogram|公斤|킬로그램|キログラム
g|gram|克|그램|グラム
mg|milligram|毫克|밀리그램|ミリグラム
lb|pound|磅|파운드|ポンド
lbs|pound|磅|파운드|ポンド
oz|ounce|盎司|온스|オンス
L|litre|升|리터|リットル
l|litre|升|리터|リットル
ml|millilitre|毫升|밀리리터|ミリリットル
mL|millilitre|毫升|밀리리터|ミリリットル
km/h|kilometre per hour|公里每小时|시속 {} 킬로미터|じそく{}キロメートル
mph|mile per hour|英里每小时|시속 {} 마일|じそく{}マイル
m/s|metre per second|米每秒|초속 {} 미터|びょうそく{}メートル
m²|square metre|平方米|제곱미터|へいほうメートル
㎡|square metre|平方米|제곱미터|へいほうメートル
km²|square kilometre|平方公里|제곱킬로미터|へいほうキロメートル
cm²|square centimetre|平方厘米|제곱센티미터|へいほうセンチメートル
m³|cubic metre|立方米|세제곱미터|りっぽうメートル
cm³|cubic centimetre|立方厘米|세제곱센티미터|りっぽうセンチメートル
TB|terabyte|TB|테라바이트|テラバイト
GB|gigabyte|GB|기가바이트|ギガバイト
MB|megabyte|MB|메가바이트|メガバイト
KB|kilobyte|KB|킬로바이트|キロバイト
kB|kilobyte|KB|킬로바이트|キロバイト
Gbps|gigabit per second|Gbps|기가비트|ギガビット
Mbps|megabit per second|Mbps|메가비트|メガビット
GHz|gigahertz|吉赫|기가헤르츠|ギガヘルツ
MHz|megahertz|兆赫|메가헤르츠|メガヘルツ
kHz|kilohertz|千赫|킬로헤르츠|キロヘルツ
Hz|hertz|赫兹|헤르츠|ヘルツ
kW|kilowatt|千瓦|킬로와트|キロワット
kWh|kilowatt-hour|千瓦时|킬로와트시|キロワットじ
W|watt|瓦|와트|ワット
V|volt|伏|볼트|ボルト
mAh|milliamp-hour|毫安时|밀리암페어시|ミリアンペアじ
ms|millisecond|毫秒|밀리초|ミリびょう
s|second|秒|초|びょう
sec|second|秒|초|びょう
min|minute|分钟|분|分
h|hour|小时|시간|じかん
hr|hour|小时|시간|じかん
hrs|hour|小时|시간|じかん
dB|decibel|分贝|데시벨|デシベル
px|pixel|像素|픽셀|ピクセル
°C|degree Celsius|摄氏度|섭씨 {} 도|せっし{}ど
℃|degree Celsius|摄氏度|섭씨 {} 도|せっし{}ど
°F|degree Fahrenheit|华氏度|화씨 {} 도|かし{}ど
℉|degree Fahrenheit|华氏度|화씨 {} 도|かし{}ど
°|degree|度|도|ど
%|percent|百分之{}|퍼센트|パーセント
‰|per mille|千分之{}|퍼밀|パーミル
"""
_CURRENCIES: Final = """
$ US$ USD|dollar|美元|달러|ドル|cent
HK$ HKD|Hong Kong dollar|港元|홍콩 달러|ホンコンドル|cent
NT$ TWD|Taiwan dollar|新台币|대만 달러|たいわんドル|
A$ AUD|Australian dollar|澳元|호주 달러|オーストラリアドル|cent
C$ CAD|Canadian dollar|加元|캐나다 달러|カナダドル|cent
€ EUR|euro|欧元|유로|ユーロ|cent
£ GBP|pound|英镑|파운드|ポンド|penny
JPY|yen|日元|엔|えん|
¥ ￥|yen|元|엔|えん|
CNY RMB|yuan|元|위안|げん|
₩ KRW|won|韩元|원|ウォン|
₹ INR|rupee|卢比|루피|ルピー|
₽ RUB|rouble|卢布|루블|ルーブル|
฿ THB|baht|泰铢|바트|バーツ|
"""


def _many(one: str) -> str:
    first, space, rest = one.partition(" ")
    if first in _ATTRIBUTES:
        return f"{first} {_many(rest)}"
    is_same = first.startswith("per") or first.endswith("hertz")
    return _PLURALS.get(first, first if is_same else first + "s") + space + rest


def _read_units() -> dict[str, Unit]:
    rows = [line.split("|") for line in _UNITS.strip().splitlines()]
    return {sign: Unit(one, _many(one), zh, ko, ja) for sign, one, zh, ko, ja in rows}


def _read_currencies() -> dict[str, Unit]:
    rows = [line.split("|") for line in _CURRENCIES.strip().splitlines()]
    return {
        sign: Unit(one, _many(one), zh, ko, ja, small, {"penny": "pence", "cent": "cents"}.get(small, ""))
        for signs, one, zh, ko, ja, small in rows
        for sign in signs.split()
    }


UNITS: Final = _read_units()
CURRENCIES: Final = _read_currencies()
# Behind a space these are as often a word or a letter: "5 s" is rare, "plan 5 V" is not.
ONLY_GLUED: Final = frozenset({"s", "V", "W"})
