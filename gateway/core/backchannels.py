"""What a listener says to show that they listen: "mhm", "嗯", "네", "うん". It takes the word from nobody.

A text is one when all of it, cut into words, is made of such remarks and is short. Case, punctuation, drawn-out
sounds ("hmmmm", "へえー") and repeats ("네네네") make no other remark. What refuses or asks to stop is never in a list,
so a doubt is settled for the person: a text that is no backchannel takes the word. A sound so short tells a recogniser
little about its language, so remarks in letters of their own count whatever language it names.

Laws (tests/core/test_gateway_backchannels.py): every remark of a list is one in its language, and in a language that
nobody knows; two of them in a row are one too; with a word that stands in no list a text is none; nothing that says
nothing is one.
"""

import re
from unicodedata import normalize

from gateway.core.words import normalised, pieces

MOST_PIECES = 8  # more than a remark has, so that endless murmuring takes the word at last

SOUNDS = "mhm mm hm hmm mmhm mmhmm mhmm uhhuh uh um ah aha ahh oh ooh eh huh ha haha ok okay"
REMARKS = {
    "en": (
        "yeah|yea|yep|yup|yes|right|alright|sure|true|exactly|indeed|absolutely|totally|definitely|"
        "got it|gotcha|cool|nice|good|great|wow|really|interesting|makes sense|i see|i know|i understand|i get it|"
        "all right|of course|for sure|that's right|that's true|oh wow|oh really|oh my|fair enough|go on"
    ),
    "zh": (
        "嗯|恩|唔|哼|啊|呃|额|哦|噢|喔|哎|诶|欸|呀|嘿|哇|对|是|好|行|真|懂|好的|好吧|好啊|好呀|好嘞|是的|是啊|是呀|是吗|是哦|"
        "对的|对啊|对呀|对吧|没错|当然|可以|真的|真的吗|原来如此|原来是这样|这样啊|明白|明白了|知道了|我知道|我明白|懂了|有道理|"
        "對|真的嗎|是嗎|對啊|沒錯|當然|原來如此|係|係啊"
    ),
    "ko": (
        "네|예|응|어|음|흠|아|오|와|우와|그래|그래요|그렇지|그렇죠|그렇군|그렇군요|그렇구나|그렇네|그러게|그러게요|그치|맞아|맞아요|맞네|"
        "맞습니다|알겠어|알겠어요|알겠습니다|알았어|알았어요|좋아|좋아요|좋네|진짜|진짜요|정말|정말요|당연하지|물론|물론이죠|오케이|넵|옙|엉"
    ),
    "ja": (
        "はい|うん|ううむ|ええ|えっ|え|ああ|あっ|あ|うむ|ふん|ふうん|ふむ|ふむふむ|ほう|ほお|へえ|へー|おお|わあ|そう|そうか|そうですか|"
        "そうですね|そうだね|そうだよね|そうなんだ|そうなんですか|そうなの|なるほど|なるほどね|確かに|たしかに|本当|本当に|本当ですか|"
        "ほんと|ほんとに|ほんとう|まじ|マジ|まじで|オッケー|オーケー|了解|もちろん|わかる|分かる|わかった|分かった|わかりました|いいね"
    ),
}
_DRAWN_OUT = str.maketrans("", "", "ー〜～~")
_RUN = re.compile(r"(.)\1{2,}")
_ECHO = re.compile(r"(.+?)\1+")


def is_backchannel(text: str, language: str = "") -> bool:
    """Whether this is only a remark of somebody who listens. An empty or unknown language (BCP 47) may be any."""
    words = [word for word in _words(text) if word]
    if not 0 < len(words) <= MOST_PIECES:
        return False
    remarks = _LISTS.get(language.split("-")[0].casefold(), _ALL)
    reached = {0}  # so many words are remarks, cut one way or another
    for begin in range(len(words)):
        if begin in reached:
            reached |= {
                begin + length for length in range(1, _LONGEST + 1) if _is_listed(words[begin:][:length], remarks)
            }
    return len(words) in reached


def _is_listed(words: list[str], remarks: frozenset[tuple[str, ...]]) -> bool:
    """Whether these words in a row are one remark; a single one may be drawn out or repeated within itself."""
    if len(words) > 1:
        return tuple(words) in remarks
    return any((form,) in remarks for form in _forms(words[0]))


def _forms(word: str) -> list[str]:
    """A word as it is, and less drawn out, and each of them once instead of several times."""
    drawn = [word, _RUN.sub(r"\1\1", word), _RUN.sub(r"\1", word)]
    return [*drawn, *(echo[1] for form in drawn if (echo := _ECHO.fullmatch(form)))]


def _words(text: str) -> tuple[str, ...]:
    return tuple(map(normalised, pieces(normalize("NFKC", text).translate(_DRAWN_OUT))))


_LATIN = ("en",)  # lists whose words may mean something else in another language of the same letters
_SOUNDS = frozenset((sound,) for sound in SOUNDS.split())
_OWN = {language: frozenset(map(_words, remarks.split("|"))) for language, remarks in REMARKS.items()}
_COMMON = _SOUNDS.union(*(remarks for language, remarks in _OWN.items() if language not in _LATIN))
_LISTS = {language: _COMMON | remarks for language, remarks in _OWN.items()}
_ALL = _COMMON.union(*_OWN.values())
_LONGEST = max(map(len, _ALL))
