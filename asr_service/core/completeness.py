"""Completeness: decides from a text alone whether its sentence is over, or can be, in English, Chinese and Korean.

Recognisers without punctuation say nothing of that, but language does: nobody ends on an article. The judgement is for
a pause, and its two mistakes weigh differently. To call a whole sentence open costs the rest of a longer silence; to
call a beginning complete may cut off its speaker. So in doubt a text is open: a bare "well", a verb whose object has
not come, any language that is not known here. Most nouns, verbs and names can end a sentence, in the middle of one too,
so a complete look is worth a shorter pause and no more.

It never looks at sound, and of grammar it knows the few words at either end.

Laws: nothing said is not complete; spaces and case change nothing; a comma, colon or dash at its end opens any text, as
a conjunction does; a text that has marks inside but none at its end was read by somebody who sets them, and is open.
"""

import re
from collections.abc import Callable, Mapping

FINAL_PUNCTUATION = tuple(".!?…。．｡！？‼⁇⁈⁉؟۔।॥։")
CLOSERS = " \t\r\n\u3000\"'”’»›)]}）］｝」』】》〉＂＇"  # may stand behind it
OPEN_MARKS = tuple(",;:、，；：-–—")
EN_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?|\d+")
LETTER = re.compile(r"(?<![^\W_])[A-Za-z]\.$")
HANGUL, HAN, KANA = re.compile("[가-힣]"), re.compile("[一-鿿]"), re.compile("[ぁ-ヿ]")


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _suffixes(text: str) -> tuple[str, ...]:
    return tuple(text.split())


EN_OPEN = _set(
    "a an the my your our their its every each very quite rather plus minus times called named like so "
    "and or but nor because if unless while whereas although though than whether which whose "
    "i'm you're he's she's we're they're it's i've you've we've they've i'll you'll he'll she'll we'll they'll "
    "i'd you'd he'd she'd we'd they'd let's that's there's what's who's where's um uh er erm hm hmm mm mhm oh ah"
)
EN_PREPOSITIONS = _set(
    "of in on at to for from with about by into onto upon through during without between among against towards under "
    "above below behind beside near across along around until since as"
)
EN_BE = _set("am is are was were be been being")
EN_AUXILIARIES = EN_BE | _set(
    "will would can could shall should may might must do does did have has had "
    "don't doesn't didn't isn't aren't wasn't weren't can't couldn't won't wouldn't shouldn't haven't hasn't"
)
EN_SUBJECTS = _set("i we he she they")
EN_OBJECTS = _set("you it this that there")
EN_TRANSITIVE = _set("want need like love think thought mean wonder guess would")
EN_QUESTIONS = _set("what who where how which")
EN_ANSWERS = _set("yes yeah no sure of okay")  # "of course I will"
EN_OPENERS = _set("well now then when actually anyway hey look listen first also please i we you he she they it what")
EN_CLOSED_PAIRS = _set(
    "think_so hope_so guess_so said_so go_on come_on hold_on move_on carry_on it_on come_in log_in come_from do_it "
    "do_this do_that are_from have_it have_this have_that had_it had_that"
)
EN_OPEN_PAIRS = _set(
    "tell_me give_me show_me what_about how_about you_know my_name his_name her_name and_then but_then so_then "
    "because_then so_that if_you when_you what_if"
)

ZH_OPEN = _suffixes(
    "和 跟 与 或 或者 但 就 而且 并且 然后 虽然 如果 因为 所以 不过 那 这 那么 那个 这个 嗯 呃 是 叫 在 把 被 给 从 "
    "向 往 比 让 请 用 为 为了 关于 对于 除了 的 得 很 太 最 更 非常 特别 比较 有点 也 都 又 再 还 才 只 不 没 没有 "
    "想 要 会 能 应该 可能 一个 一些 每 喜欢 认为 怎么 想吃 爱吃 欢吃 想去 想听 来自 我住 加 减 乘 除以 等于 第 有 "
    "播放 打开 给我 告诉我 帮我 我们 他们 星期 而 给我讲 一只"
)
ZH_CLOSED = _suffixes(
    "好的 是的 对的 真的 行的 会的 可以的 挺好的 我没有 也没有 有没有 还没有 不是 是不是 好不好 要不要 能不能 "
    "会不会 在不在 不要 不会 不能 不想 不用 有用 没用 好不 不喜欢 我喜欢 很喜欢 你喜欢 怎么叫 怎么讲 来一个 下一个 "
    "换一个 讲一个 停止播放 帮帮我 首都 成都 暖和 方向 机会 参加 太太"
)
ZH_WHOLE = _set("是 不 会 能 要 想 有 在 没 没有 喜欢 可能 应该 比较")  # answers that would else be openings
ZH_OPENERS = _set("我 你 他 她 它 您 今天 明天 啊 哦 请问 其实 首先 另外 对了 我说 比如")

KO_FINAL = _suffixes("요 다 까 죠 네 니 냐 자 야 아 어 해 워 줘 래 걸 군 켜 꺼 봐 렇지 맞지 있지 좋지 해라")
KO_OPEN = _suffixes(
    "다가 니까 지만 는데 은데 면서 보다 마다 저기요 있잖아요 그러니까 까지 바다 캐나다 머니 노래 빨래 미래 영어 "
    "남자 의자"
)
# A question, "입니까", while other "니까" give a reason: the syllable before ends in ㅂ, as every 28th one does.
KO_ASKED = re.compile(f"[{''.join(chr(place) for place in range(ord('갑'), ord('힣') + 1, 28))}]니까$")
KO_WHOLE = _set("네 예 응 아니 그래 안녕 그만 멈춰 계속 테스트 왜 정말 진짜 잠깐만 와 마 가 누구")
KO_OPENERS = _set("어 그 저 자 야 아 다 음 근데요")


def is_sentence_end(text: str) -> bool:
    """Whether `text` ends in final punctuation of any script, quotes and brackets behind it aside.

    The full stop of a Latin letter that stands alone is the letter's: "i live in u. s." has not ended.
    """
    bare = text.rstrip(CLOSERS)
    return bare.endswith(FINAL_PUNCTUATION) and not LETTER.search(bare)


def is_complete(text: str, language: str = "") -> bool:
    """Whether `text` looks like a whole sentence; its final punctuation tells too.

    `language` is BCP 47. "" goes by the script where that belongs to one language; others than the known are open.
    """
    bare = text.rstrip(CLOSERS)
    if is_sentence_end(bare):
        return True
    if not bare or any(mark in bare for mark in FINAL_PUNCTUATION) or any(mark in bare for mark in OPEN_MARKS[:-3]):
        return False
    judge = JUDGES.get(language.split("-")[0].lower() or _language_of(bare))
    return judge is not None and not bare.endswith(OPEN_MARKS) and judge(bare.lower())


def _language_of(text: str) -> str:
    if KANA.search(text):
        return ""
    if HANGUL.search(text):
        return "ko"
    return "zh" if HAN.search(text) else ""


def _is_complete_english(text: str) -> bool:
    words = EN_WORD.findall(text.replace("’", "'"))
    last = words[-1] if words else ""
    if len(words) < 2:
        return bool(last) and last not in EN_OPENERS | EN_OPEN | EN_PREPOSITIONS | EN_AUXILIARIES
    before, first = words[-2], words[0]
    if f"{before}_{last}" in EN_CLOSED_PAIRS:
        return True
    if f"{before}_{last}" in EN_OPEN_PAIRS:
        return first in EN_QUESTIONS | EN_AUXILIARIES and last == "name"
    if last in EN_OPEN:
        return last == "like" and first == "what"
    if last in EN_PREPOSITIONS:
        return first in EN_QUESTIONS and before in EN_SUBJECTS | EN_OBJECTS  # "where are you from"
    if last in EN_AUXILIARIES:  # "yes I do", "do you know what it is"
        asks = EN_QUESTIONS.intersection(words[:-2])
        return first in EN_ANSWERS or (bool(asks) and before in EN_SUBJECTS | EN_OBJECTS)
    if last in EN_SUBJECTS | EN_OBJECTS:  # "who are you" but not "can you"
        return before in EN_BE or (last in EN_OBJECTS and before not in EN_AUXILIARIES)
    return not (last in EN_TRANSITIVE and before in EN_SUBJECTS and first not in EN_QUESTIONS)


def _is_complete_chinese(text: str) -> bool:
    whole = "".join(text.split())
    if whole in ZH_WHOLE or whole.endswith(ZH_CLOSED):
        return True
    if whole in ZH_OPENERS:
        return False
    if whole.endswith("的"):
        return "是" in whole  # "你是怎么工作的"
    return not whole.endswith(ZH_OPEN)


def _is_complete_korean(text: str) -> bool:
    words = text.split()
    last = words[-1]
    if last in KO_WHOLE or KO_ASKED.search(last):
        return True
    is_opener = len(words) == 1 and last in KO_OPENERS
    return last.endswith(KO_FINAL) and not last.endswith(KO_OPEN) and not is_opener


JUDGES: Mapping[str, Callable[[str], bool]] = {
    "en": _is_complete_english,
    "zh": _is_complete_chinese,
    "cmn": _is_complete_chinese,
    "ko": _is_complete_korean,
}
