"""What of a text can be searched for, in every script: stems, pairs of characters, topics and names.

Stems of words in scripts with spaces, Korean words without their particles, and pairs of characters where there are no
spaces; words that every sentence has are none. `#pet` stands for a topic, `@大黄` for a name that a sentence gives to
somebody; the words of a question hold every `@` that its text could mean.

Laws (tests/core/test_gateway_memory_words.py): case, width and punctuation make no other words; no word is empty; their
number is bounded; a question of the same text finds all that a memory of it is found by.
"""

import re
from unicodedata import normalize

from gateway.core.topics import stem, topics_of

MOST_WORDS = 96
MOST_CHARS = 2_000  # of a text that are looked at

_LATIN = re.compile(r"[a-z0-9à-öø-ÿ]+(?:['’][a-z]+)?")
_HAN = re.compile(r"[\u3400-\u9fff\U00020000-\U0003ffff]+")
_KANA = re.compile(r"[\u3040-\u30ff]+")
_HANGUL = re.compile(r"[가-힣]+")
_OTHER = re.compile(r"[^\W_a-z0-9à-öø-ÿ\u3040-\u30ff\u3400-\u9fff가-힣\U00020000-\U0003ffff]{2,}")

_SAID_BY_ALL_EN = (
    "a about actually after again all also am an and any are around as at back be been before but by can could did do "
    "does doing done down each few for from get go going good got had has have having he hello her here hers hi him "
    "his how i if in into is it its just kind know last let like little lot made make many may me might mine more most "
    "much must my need new next no not now of off oh ok okay on one only or other our out over own please quite really "
    "right said same say she should so some something soon still such sure take tell than thank thanks that the their "
    "them then there these they thing think this those time to today tomorrow tonight too two up us use very want was "
    "way we well went were what when where which while who whom whose why will with would yeah yes yesterday yet you "
    "your yours remember forgot forget told recommend suggest i'm i've i'd i'll don't can't won't it's that's what's "
    "isn't doesn't didn't you're we're let's there's"
)
_SAID_BY_ALL_KO = (
    "나 내 난 날 저 제 전 우리 저희 나의 너 네 당신 그 이 것 거 게 뭐 뭘 뭐가 무슨 무엇 어디 어느 언제 누구 누가 "
    "왜 어떻게 어떤 얼마나 얼마 몇 좀 참 요즘 지금 오늘 내일 어제 이제 이번 다음 지난 아주 정말 진짜 너무 많이 잘 더 "
    "안 못 다시 하나 한번 주 달 해 있어요 있어 있다 있는지 없어요 해요 해 하는 하는지 했지 하지 주세요 줘 줄까 줄래 "
    "줄래요 기억해 기억하세요 기억하지 아세요 알려 말해 추천해 추천 같이 때 그리고 그래서 근데 돼요 되나요 좋을까 "
    "좋을까요 괜찮을까요 집 예요 이에요 인데 거야 뭐야 뭐예요 어디야"
)
_STOP_EN, _STOP_KO = frozenset(_SAID_BY_ALL_EN.split()), frozenset(_SAID_BY_ALL_KO.split())
_STOP_ZH = re.compile(
    "什么时候|名字|为什么|怎么样|是不是|有没有|什么|怎么|哪里|哪个|哪天|哪一|哪|多少|几点|几|请问|请|可以|能不能|能|"
    "知道|记得|记住|告诉|觉得|现在|今天|明天|昨天|最近|一下|一个|一只|一点|我们|你们|他们|她们|自己|这个|那个|这|那|就是|"
    "不是|还是|但是|因为|所以|我|你|您|他|她|它|的|了|吗|呢|吧|啊|呀|是|在|有|和|跟|就|也|都|很|太|最|不|没|对|给|要|会|想|"
    "去|到|被|把|让|说|讲|个|只|名|位|叫|谁|比较|推荐|建议|来着"
)
_PARTICLES = re.compile(
    "(?:이라는|라는|이랑|이에요|이예요|예요|에요|입니다|이야|에서|에게|한테|께서|까지|부터|으로|이고|이지|인데|인|"
    "이었죠|였죠|였지|였더라|하고|처럼|보다|마다|은|는|이|가|을|를|에|의|로|와|과|도|만|랑|야|죠|요|씨|님)$"
)

_NAMED_EN = re.compile(
    r"\b(?:called|named|names? (?:is|are)|name's|call me) ([a-zà-öø-ÿ]+)(?:(?:,? and |, )([a-zà-öø-ÿ]+))?",
    re.IGNORECASE,
)
_INTRODUCED = re.compile(
    r"\b[Ii](?:['’]m| am) ([A-Z][a-zà-öø-ÿ]+)|"
    r"(?:저는|나는|전|난) ([가-힣]{2,4}?)(?:이에요|예요|입니다|이야|야)(?=[\s.,!]|$)"
)
_RELATIVE_EN = re.compile(
    r"\b(?:sister|brother|son|daughter|wife|husband|friend|dog|cat|boss|cousin|uncle|aunt|partner|colleague) ([A-Z]\w+)"
)
_CAPITAL = re.compile(r"(?<=[a-z,] )([A-Z][a-zà-öø-ÿ]+)")
_NAMED_ZH = re.compile("(?:名字叫|名叫|取名|叫做|叫|名字是)([\u3400-\u9fff]{2,4}?)(?=[，。！,.!、\\s的了和]|$)")
_FAMILIAR_ZH = re.compile(
    "((?:小(?![时学孩姐心说区吃声组型伙朋店气])|老(?![师板家婆公是人爷奶虎鼠早年])|阿(?!姨))[\u3400-\u9fff])"
)
_NO_NAME_TWICE = "妈爸哥姐弟妹爷奶叔谢看常天慢人好宝家试想说听走等轻刚渐偏白明多大小快早晚每年月日"
_TWICE_ZH = re.compile(f"((?![{_NO_NAME_TWICE}])([\u3400-\u9fff])\\2)")  # as children and pets are called
_NAMED_KO = re.compile(
    "이름[은이] ([가-힣]+?)(?:이에요|예요|이예요|입니다|이야|야|이고|고)?(?=[\\s.,!]|$)|"
    "([가-힣]{2,}?)(?:이)?라(?:는|고 하는) |"
    "(?:동생|아들|딸|언니|누나|형|오빠|남편|아내|친구|조카|손자|손녀|사촌|삼촌|이모|고모|동료|선배|후배|이웃|"
    "강아지|고양이) (?!이름)([가-힣]{2,4}?)(?:이랑|이는|이가|이|랑|하고|는|은|가)(?=\\s)"
)
_CAPITALS = (
    "monday tuesday wednesday thursday friday saturday sunday january february march april may june july august "
    "september october november december i"
)
_NO_NAMES = _STOP_EN | frozenset(_CAPITALS.split())

_SELF_EN = re.compile(r"\b(?:i|i'm|i've|i'd|i'll|me|my|mine|myself|we|we're|we've|us|our|ours)\b")
_TOLD_TO = re.compile(
    r"(?:^|[,.;] ?|\b(?:please|you|and|now|just|so|then) )"
    r"(?:tell|give|show|sing|read|teach|explain(?: it)? to|ask|let) (?:me|us)\b|"
    r"\bhow (?:do|can|could|would|should) (?:i|we)\b|"
    r"\b(?:can|could|may) i (?:ask|know|hear)\b|\bi(?:'d| would)? (?:want|like|love) to (?:know|hear|ask)\b|"
    r"\bi wonder\b|"
    r"\bi (?:don't|didn't|do not|did not) (?:understand|know|hear|get)\b|"
    "告诉我|给我(?:讲|说|唱|看|解释|介绍|听|来)|我(?:想|要)?(?:可以|能)?(?:问|知道|听不懂|没听懂|不懂|不明白)|"
    "(?:唱|讲|说|念).*给我听|"
    "(?:나한테|저한테|나에게|저에게) (?:말해|알려|들려|설명)"
)
_SELF_ZH = re.compile("我|咱|俺")
_SELF_WORDS_KO = "나 내 난 날 저 제 전 절 우리 저희 나도 저도 내게 제게 나의 저의"
_SELF_KO = frozenset(_SELF_WORDS_KO.split())


def folded(text: str) -> str:
    """The text in lower case, of ordinary width, with plain apostrophes."""
    return normalize("NFKC", text).lower().replace("’", "'")


def words_of(text: str) -> list[str]:
    """What a memory of this text is found by, each once."""
    names = [f"@{name}" for name in names_in(text)] + ["#own_name"] * bool(_INTRODUCED.search(text))
    return _bounded(names + [f"#{topic}" for topic in sorted(topics_of(folded(text)))] + content_words(text))


def asked_words(text: str) -> list[str]:
    """What a question of this text looks for, each once."""
    text = text[:MOST_CHARS]
    plain = content_words(text)
    called = [word.removesuffix("이") for word in plain if _HANGUL.fullmatch(word)]  # 콩이한테 is to 콩
    names = [f"@{word}" for word in [*plain, *called, *_spans(folded(text))] if word]
    named = [f"@{name}" for name in names_in(text)]
    return _bounded([f"#{topic}" for topic in sorted(topics_of(folded(text)))] + plain + named, names)


def names_in(text: str) -> list[str]:
    """The names that a sentence gives to somebody or something, folded; Latin ones as stems."""
    found = [name for pattern in (_NAMED_EN, _INTRODUCED, _RELATIVE_EN, _CAPITAL) for name in _groups(pattern, text)]
    latin = [stem(folded(name)) for name in found if folded(name) not in _NO_NAMES]
    others = [name for pattern in (_NAMED_ZH, _FAMILIAR_ZH, _TWICE_ZH, _NAMED_KO) for name in _groups(pattern, text)]
    return list(dict.fromkeys(latin + [name for name in others if len(name) > 1 or not _HAN.match(name)]))


def speaks_of_self(text: str) -> bool:
    """Whether somebody speaks of themselves: I, my; 我; 나, 제, 우리. Who asks to be told something does not."""
    text = _TOLD_TO.sub(" ", folded(text))
    if _SELF_EN.search(text) or _SELF_ZH.search(text):
        return True
    return any(_bare(word) in _SELF_KO or word in _SELF_KO for word in _HANGUL.findall(text))


def _groups(pattern: re.Pattern[str], text: str) -> list[str]:
    return [group for match in pattern.finditer(text[:MOST_CHARS]) for group in match.groups() if group]


def content_words(text: str) -> list[str]:
    """The words of a text that not every sentence has, without topics and names."""
    text = folded(text[:MOST_CHARS])
    latin = [stem(word.removesuffix("'s")) for word in _LATIN.findall(text) if word.removesuffix("'s") not in _STOP_EN]
    korean = [bare for word in _HANGUL.findall(text) if (bare := _bare(word)) not in _STOP_KO and word not in _STOP_KO]
    han = [pair for run in _HAN.findall(_STOP_ZH.sub(" ", text)) for pair in _pairs(run)]
    others = [pair for run in _KANA.findall(text) for pair in _pairs(run)] + _OTHER.findall(text)
    return latin + korean + han + others


def _bare(word: str) -> str:
    """A Korean word without one particle, where something is left of it."""
    return _PARTICLES.sub("", word) or word


def _pairs(run: str) -> list[str]:
    return [run[at : at + 2] for at in range(len(run) - 1)] + list(run)


def _spans(text: str) -> list[str]:
    """Every name of one to four characters that a text without spaces may hold."""
    runs = _HAN.findall(text)
    return [run[at : at + size] for run in runs for size in (2, 3, 4) for at in range(len(run) - size + 1)]


def _bounded(words: list[str], more: list[str] | None = None) -> list[str]:
    kept = list(dict.fromkeys(words))[:MOST_WORDS]
    return list(dict.fromkeys(kept + list(dict.fromkeys(more or []))[: 4 * MOST_WORDS]))
