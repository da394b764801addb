"""What of a model's reading is believed: models of the Whisper kind write something also where nobody speaks.

They were taught on subtitles, so near silence they thank for watching, and when they lose the thread they say one thing
again and again. The laws: what is believed was read, in the same order; who believes it again changes nothing.
"""

import re
from dataclasses import dataclass

NO_SPEECH = 0.6  # the model's own probability that nobody speaks; above it a doubtful text is none
DOUBTFUL = -1.0  # mean log probability of a token
NEAR_SILENCE = 0.01  # RMS of the loudest moment, full scale 1; speech is several times as loud

# Written as `plain` has them.
PHANTOMS = frozenset(
    phrase
    for line in (
        "you|bye|bye bye|okay|thank you|thank you very much|thank you so much|thanks for watching|please subscribe",
        "thank you for watching|thank you for listening|like and subscribe|see you next time",
        "see you in the next video|subtitles by the amara org community|transcription by castingwords",
        "谢谢|谢谢大家|谢谢观看|谢谢收看|感谢观看|感谢收看|感谢聆听|谢谢你的观看|请订阅",
        "字幕志愿者|字幕由amara org社区提供",
        "请不吝点赞 订阅 转发 打赏支持明镜与点点栏目|請不吝點贊 訂閱 轉發 打賞支持明鏡與點點欄目",
        "謝謝|謝謝大家|謝謝觀看|謝謝收看|感謝觀看",
        "감사합니다|고맙습니다|시청해주셔서 감사합니다|시청해 주셔서 감사합니다|다음 영상에서 만나요",
        "구독과 좋아요 부탁드립니다",
    )
    for phrase in line.split("|")
)
LOOP = re.compile(r"(.{1,40}?)\1{5,}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a model read in a stretch, and what speaks for it."""

    text: str
    no_speech: float  # probability
    log_probability: float  # mean of the text's tokens
    loudness: float  # RMS of the loudest moment, full scale 1


def plausible(reading: Reading) -> str:
    """The text as it came, without loops; "" when it is likelier that nothing was said."""
    words = plain(reading.text)
    is_no_speech = reading.no_speech > NO_SPEECH
    if not words or (is_no_speech and reading.log_probability < DOUBTFUL):
        return ""
    if words in PHANTOMS and (is_no_speech or reading.loudness < NEAR_SILENCE):
        return ""
    return without_loops(reading.text)


def without_loops(text: str) -> str:
    """What is said six times in a row or more is said once; digits may be, as in a telephone number or a million."""
    while (shorter := LOOP.sub(_once, text)) != text:
        text = shorter
    return text


def plain(text: str) -> str:
    """The words alone: lower case, no punctuation, one space between them."""
    return " ".join(re.findall(r"[\w']+", text.lower()))


def _once(loop: re.Match[str]) -> str:
    said = loop[1]
    return said if any(sign.isalpha() for sign in said) else loop[0]
