"""Languages by their codes and by their English names, as models of the Whisper kind know them and OpenAI writes them.

Laws: the code of a language's name is its code, and that of any tag its primary part; whoever asks again gets the same.
Texts in a row are told apart by their signs, not by their language, as people mix languages and not every engine tells.
"""

import re
from types import MappingProxyType

# Whisper's own codes: ISO 639-1 where there is one, Javanese aside, which BCP 47 calls jv.
_TABLE = """
    en english, zh chinese, de german, es spanish, ru russian, ko korean, fr french, ja japanese, pt portuguese,
    tr turkish, pl polish, ca catalan, nl dutch, ar arabic, sv swedish, it italian, id indonesian, hi hindi, fi finnish,
    vi vietnamese, he hebrew, uk ukrainian, el greek, ms malay, cs czech, ro romanian, da danish, hu hungarian,
    ta tamil, no norwegian, th thai, ur urdu, hr croatian, bg bulgarian, lt lithuanian, la latin, mi maori,
    ml malayalam, cy welsh, sk slovak, te telugu, fa persian, lv latvian, bn bengali, sr serbian, az azerbaijani,
    sl slovenian, kn kannada, et estonian, mk macedonian, br breton, eu basque, is icelandic, hy armenian, ne nepali,
    mn mongolian, bs bosnian, kk kazakh, sq albanian, sw swahili, gl galician, mr marathi, pa punjabi, si sinhala,
    km khmer, sn shona, yo yoruba, so somali, af afrikaans, oc occitan, ka georgian, be belarusian, tg tajik,
    sd sindhi, gu gujarati, am amharic, yi yiddish, lo lao, uz uzbek, fo faroese, ht haitian creole, ps pashto,
    tk turkmen, nn nynorsk, mt maltese, sa sanskrit, lb luxembourgish, my myanmar, bo tibetan, tl tagalog, mg malagasy,
    as assamese, tt tatar, haw hawaiian, ln lingala, ha hausa, ba bashkir, jw javanese, su sundanese, yue cantonese
"""
NAMES = MappingProxyType({code: name for code, _, name in (pair.strip().partition(" ") for pair in _TABLE.split(","))})
_CODES = MappingProxyType({name: code for code, name in NAMES.items()} | {"mandarin": "zh", "burmese": "my"})

# Kana, Han, Thai, Lao, Burmese and Khmer with their punctuation.
_UNSPACED = re.compile(
    "[\u3000-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uff65\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\U00020000-\U0003ffff]"
)


def between(first: str, second: str) -> str:
    """What stands between two texts in a row: a space, unless one is empty or a script without spaces is there."""
    is_spaced = first and second and not _UNSPACED.match(first[-1]) and not _UNSPACED.match(second)
    return " " if is_spaced else ""


def primary(tag: str) -> str:
    """The language of a BCP 47 tag, without script and region, in lower case: `zh` of `zh-Hant-TW`."""
    return tag.strip().replace("_", "-").split("-")[0].lower()


def name_of(tag: str) -> str:
    """The English name of a tag's language in lower case; its code where no name is known."""
    return NAMES.get(primary(tag), primary(tag))


def code_of(told: str) -> str:
    """The code of a language that is told by its name or by a tag; "" for one that is not in the table."""
    name = told.strip().lower()
    code = _CODES.get(name, primary(name))
    return code if code in NAMES else ""
