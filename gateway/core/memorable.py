"""Which sentences of a person are worth remembering, and what each is about.

Worth it is what people say about themselves: names, home, work, preferences, plans, numbers, and what they ask to be
remembered. Not questions, requests, small talk, nor statements about the world. All of this is decided from the words
alone, in English, Chinese and Korean; in other languages what is said about oneself is not recognised, so there only
what a word of a topic names is kept.

Laws (tests/core/test_gateway_memorable.py): a question is never worth remembering; what is kept is made of sentences
that were said, in their order; each memory and their number are bounded.
"""

import re

from gateway.core.backchannels import is_backchannel
from gateway.core.memory_words import content_words, folded, speaks_of_self
from gateway.core.topics import topics_of
from gateway.core.words import joined

MOST_CHARS = 160  # of one memory
MOST_MEMORIES = 8  # of one turn
MOST_SAID = 4_000  # characters of a turn that are looked at

_SENTENCE = re.compile(r"(?:[^.!?。！？…\n]|\.(?=\w))+[.!?。！？…]*")
_ASKS_EN = re.compile(
    r"^(?:(?:and|so|but|well|oh|hey|okay|ok|please|hi|hello)[ ,]+)*"
    r"(?:what|when|where|who|whom|whose|which|why|how|is|are|am|was|were|do|does|did|can|could|will|would|should|shall|"
    r"may|have you|has|tell|give|show|sing|play|repeat|explain|let's|let us|stop|say|make|help|read|write|translate|"
    r"count)\b"
)
_ASKS_ZH = re.compile(
    "[吗呢么][。！.! ]*$|什么|怎么|为什么|多少|哪[里个儿天位门]|几点|几岁|谁|是不是|能不能|有没有|可不可以|"
    "^(?:请|帮我|给我|告诉我|再|讲|唱|说|播放)"
)
_ASKS_KO = re.compile(
    "(?:까요?|(?<![어만])(?<![가이] )나요|[하있었았되]니|[은는인던]가요?|을래요?|"
    "줄래요?|을까요?|는지|던가요?|지요?|죠|냐)"
    "[.!~ ]*$|뭐|무엇|무슨|어디|언제|누구|누가|왜|어떻게|얼마|몇|"
    "(?:주세요|줘|줘요|줄래|해라|하자|봐|말해)[.!~ ]*$"
)
_ASKS_TO_REMEMBER = re.compile(
    r"\b(?:remember|don't forget|do not forget|note) (?:that|my|our|this|i)\b|"
    "记住|记一下|别忘|不要忘|기억해 (?:주세요|줘|둬)|잊지"
)
_WISH = re.compile(
    r"\bi(?:'d| would)? (?:like|love|want|need|wish) (?:you|to (?:know|hear|ask|talk|see))\b|"
    r"\bi (?:wonder|guess|mean|see|know|understand|agree|don't know|don't understand|think so|hope so|can't hear)\b|"
    r"\b(?:i'm|i am|we're) (?:fine|good|ok|okay|well|great|sorry|here|back|ready|listening|sure|not sure|done)\b|"
    "^(?:[嗯好对是啊哦]+[，, ]*)?我(?:很|挺|还)?(?:好|不错|可以|知道|明白|懂|同意|听不|没听|觉得(?:也|你|对|是))|"
    "我想(?:问|听|知道|请)|"
    "그렇게 생각|잘 지내|못 들|못 했|이해(?:를|가)? ?(?:못|안)|알겠|모르겠|고마|감사|미안|죄송|궁금"
)
_THEIRS = re.compile(r"^(?:she|he|it|they|her|his|its|their|那|她|他|它|걔|그 (?:애|분|친구))\b|^[她他它]")
_SUBJECTS = (
    ("name", re.compile(r"\bmy name is\b|\bcall me\b|^i'm called|我叫|我的名字|(?:내|제) 이름[은이]")),
    (
        "home",
        re.compile(
            r"\b(?:i|we)(?:'m|'ve| am| now| have)? (?:now )?(?:live|living|moved)(?: \w+)? (?:in|to|at|by|near|on)\b|"
            "我.{0,6}(?:住在|搬到|搬去)"
        ),
    ),
    (
        "home",
        re.compile("^(?!.*(?:동생|언니|누나|오빠|친구|아들|딸|부모|엄마|아빠)).*(?:에 (?:살고|살아|삽니다)|로 이사)"),
    ),
    ("work", re.compile(r"\bi (?:now )?work as\b|\bmy job is\b|我的(?:工作|职业)是|(?:내|제) 직업[은이]")),
    ("age", re.compile(r"\bi(?:'m| am) \w+ years old\b|^我(?:今年)?.{1,3}岁|^(?:저는|나는|전|난) .{1,5} ?살이")),
)
_OWNED = (
    re.compile(
        r"\b(?:my|our) ((?:[a-z']+ ){0,4}?(?:name|birthday|number|password|code|address|job|age|size|email)|"
        r"favou?rite [a-z ]+?) (?:is|was)\b"
    ),
    re.compile(
        "我(?:家|们)?(?:的)?(?:现在|目前|如今)?(最喜欢的[\u3400-\u9fff]{1,6}?|"
        "[\u3400-\u9fff]{0,8}?(?:名字|生日|号码|密码|地址|尾号|工作|年龄|车牌号?))是"
    ),
    re.compile(
        "(?<![가-힣])(?:내|제|우리|내가|제가) ((?:[가-힣]+ ){0,3}?[가-힣]*(?:이름|생일|번호|주소|직업|나이|끝자리)|"
        "(?:제일|가장) 좋아하는 [가-힣]+?)[은는이가](?= )"
    ),
)


def memorable(said: str) -> list[str]:
    """The memories that a turn's words give, in their order. A sentence that goes on about the last one joins it."""
    kept: list[str] = []
    for sentence in map(str.strip, _SENTENCE.findall(said[:MOST_SAID])):
        if kept and _THEIRS.search(folded(sentence)) and not _asks(sentence):
            kept[-1] = _cut(joined(kept[-1], sentence))
        elif _is_worth_it(sentence):
            kept.append(_cut(sentence))
    return kept[:MOST_MEMORIES]


def subject_of(memory: str) -> str:
    """What a memory tells of which there can be only one, as `home` or `favourite team`; "" when there is no such."""
    text = folded(memory)
    for subject, pattern in _SUBJECTS:
        if pattern.search(text):
            return subject
    owned = next(filter(None, (pattern.search(text) for pattern in _OWNED)), None)
    return owned[1] if owned else ""


def _is_worth_it(sentence: str) -> bool:
    text = folded(sentence)
    if _ASKS_TO_REMEMBER.search(text):
        return True
    if _asks(sentence) or _WISH.search(text) or is_backchannel(text, ""):
        return False
    if speaks_of_self(text):
        return True
    if _has_hangul(text) and len(content_words(text)) >= 2:
        return True
    return bool(topics_of(text)) and not text.isascii()


def _asks(sentence: str) -> bool:
    """Whether a sentence asks for something: an answer, or that something is done."""
    text = folded(sentence)
    return "?" in text or bool(_ASKS_EN.search(text) or _ASKS_ZH.search(text) or _ASKS_KO.search(text))


def _has_hangul(text: str) -> bool:
    """Korean leaves out who speaks, so that what is said of nobody may well be of oneself."""
    return any("가" <= character <= "힣" for character in text)


def _cut(text: str) -> str:
    return text if len(text) <= MOST_CHARS else text[: MOST_CHARS - 1] + "…"
