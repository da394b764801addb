"""What the word in front of a full stop is: a plain word or an abbreviation, and how much its dot then says.

It decides by word lists and by the shape of the word, never by what follows. Laws: any text is accepted; the same word
in the same language is always of the same kind.
"""

import re
from enum import Enum

from tts_service.core.script_runs import is_cjk


class WordKind(Enum):
    """How much a full stop behind the word says about the end of the sentence."""

    PLAIN = "plain"  # it ends the sentence
    NEVER_FINAL = "never final"  # it does not: more belongs to it
    MAYBE_FINAL = "maybe final"  # it ends the sentence before a capital or a CJK character
    BEFORE_NUMBER = "before a number"  # an abbreviation only when a number follows, else a plain word
    ACRONYM = "acronym"  # dotted letters, or one initial: it ends the sentence before a common starter
    PRONOUN_I = "pronoun I"  # it ends the sentence, unless another initial follows


def _words(spaced: str) -> frozenset[str]:
    return frozenset(spaced.split())


# Titles and ranks: a name follows. Capitalised only, since "gen", "rep" and "col" are words too.
_TITLES = _words(
    "adm brig capt cmdr col cpl cpt det dr fr gen gov hon insp lt maj messrs mgr mlle mme mr mrs ms msgr mt mx pres "
    "prof pvt rep rev sen sgt ste supt"
)
# Months as calendars shorten them: a day or a year follows. Capitalised only; May is a whole word.
_MONTHS = _words("jan feb mar apr jun jul aug sep sept oct nov dec")
# References that precede a number or a letter. Capitalised only: a fig is a fruit.
_REFERENCES = _words("fig figs eq eqs vol vols chap")
# Latin and English connectives: what they announce follows, however they are written.
_CONNECTIVES = _words("a.k.a approx cf e.g eg esp i.e ie incl n.b p.s resp viz vs w.r.t")
# Words or names ("No.", "Art.", "Sun.") that are abbreviations only in front of a number. "No. We stay." are two
# sentences, "No. 5" is one number: the policy's "never final" is meant for the latter.
_NUMBERED = _words("apt art c ca ch ed ext fig no nos p para pg pp pt rm sat sec sun tel vol")
# What closes a name, a time, a degree, an address or a measure, and so perhaps the sentence too.
_CLOSINGS = _words(
    "a.d a.m al assn ave b.a b.c b.c.e b.sc blvd bros c.e co corp cos d.d.s d.phil dept ed.d esq est etc ft hr hrs inc "
    "intl jr lb lbs ll.b ll.d ll.m ltd m.a m.b.a m.d m.phil m.sc max min mins oz p.m pharm.d ph.d plc psy.d rd sq sr "
    "univ yr yrs"
)
# Between both: Saint or Street, versus in the name of a case, a weekday in front of a date.
_UNDECIDED = _words("fri mon st thu thur thurs tue tues v wed")

# What replies in other European languages write and English does not; what it shortens follows it.
_ELSEWHERE: dict[str, frozenset[str]] = {
    "de": _words("bzgl bzw ca d.h evtl ggf hr nr str u.a vgl z.b zzgl"),
    "es": _words("avda dña dra fdo núm p.ej pág sr sra srta ud uds"),
    "fr": _words("av env m mm p.ex"),
    "it": _words("avv dott ecc ing pag sig sigg"),
    "pt": _words("av dra p.ex pág sr sra"),
}

# How sentences commonly begin. Nouns and names that follow an acronym ("U.S. Army") or an initial are not among them.
STARTERS = _words(
    "A After All Also Although An And Any Are As At Because Before Both But By Can Could Did Do Does During Each Even "
    "Every Finally First For From Have He Her Here His How However I If In Is It Its Just Later Let Many Maybe Most My "
    "Next No Not Now Of On Once One Or Our Perhaps Please She Since So Some Sometimes Still Such Thank Thanks That The "
    "Their Then There These They This Those Though Through To Today Tomorrow Under Until Was We Well Were What When "
    "Where Which While Who Why Will With Would Yes Yesterday Yet You Your"
)
LONGEST_STARTER = max(map(len, STARTERS))

_LETTER = "[A-Za-zÀ-ÖØ-öø-ɏͰ-ϿЀ-ӿ]"
# What is glued to the front of the last word (a digit, an apostrophe, part of an address) makes it a plain one.
_LAST_WORD = re.compile(rf"(?P<glue>(?!{_LETTER})[\w'’&@/\\])?(?P<word>{_LETTER}(?:\.?{_LETTER})*)\Z")
_DOTTED_LETTERS = re.compile(rf"{_LETTER}(?:\.{_LETTER})+")
_LONGEST_WORD_CHARS = 24


def kind_before(text: str, stop: int, language: str) -> WordKind:
    """The kind of the word that ends at `stop`; `language` is the reply's tag, such as "en" or "zh-Hans"."""
    found = _LAST_WORD.search(text[max(0, stop - _LONGEST_WORD_CHARS) : stop])
    if found is None or (found["glue"] and not is_cjk(found["glue"])):
        return WordKind.PLAIN
    return _listed(found["word"], language) or _shaped(found["word"])


def _listed(word: str, language: str) -> WordKind | None:
    lower = word.lower()
    capitalised = word[0].isupper()
    if lower in _CONNECTIVES or lower in _ELSEWHERE.get(language.partition("-")[0].lower(), ()):
        return WordKind.NEVER_FINAL
    if capitalised and (lower in _TITLES or lower in _MONTHS or lower in _REFERENCES):
        return WordKind.NEVER_FINAL
    if lower in _CLOSINGS:
        return WordKind.MAYBE_FINAL
    if lower in _NUMBERED and not (len(word) == 1 and capitalised):
        return WordKind.BEFORE_NUMBER
    return WordKind.ACRONYM if lower in _UNDECIDED else None


def _shaped(word: str) -> WordKind:
    if word == "I":
        return WordKind.PRONOUN_I
    is_initial = len(word) == 1 and word.isupper()
    return WordKind.ACRONYM if is_initial or _DOTTED_LETTERS.fullmatch(word) else WordKind.PLAIN
