"""Speech with known pauses and a known end, for measuring the endpointer: synthetic, the same for the same seed.

Each piece of a sentence is spoken alone by espeak-ng, its quiet edges are cut off, and the pieces are laid one after
the other with silence between them. Where speech really begins and ends is then measured on the sound, before noise is
added: a pause is longer than the silence in it. espeak-ng gives a few samples more or fewer from call to call.
Run: python -m tests.bench.endpointing_corpus [SECONDS.wav]
"""

import ctypes
import json
import os
import sys
import wave
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import espeakng_loader
import numpy as np
import numpy.typing as npt
import soxr

from tests.support.speech import FOLDER, RATE, speech

Samples = npt.NDArray[np.float32]

TEXTS = Path(__file__).parents[2] / "asr_service" / "demo_model" / "corpus.json"
VOICES = {
    "en": ["en-us", "en-us+m5", "en-us+steph", "en-us+Annie", "en", "en-us+caleb"],
    "zh": ["cmn", "cmn+m5", "cmn+f3", "cmn+Annie", "cmn+caleb"],
    "ko": ["ko", "ko+m5", "ko+f3", "ko+steph"],
}
NUMBERS = {"en": 28, "zh": 52, "ko": 32}
PITCHES, RATES = (35, 50, 65), (140, 160, 180)
LEVELS_DB = (-30, -26, -22)  # RMS of speech below full scale
# Pauses in ms, and how often one is drawn: the short ones are what must never end a sentence.
PAUSES_MS = ((200, 280), (300, 480), (500, 780), (800, 1_500))
PAUSE_WEIGHTS = (6, 2, 1, 1)
OPEN_SHARE = 0.3  # of the utterances break off
WITH_PAUSES_SHARE = 0.85
LEAD_S, TAIL_S = 4.0, 3.0  # before and after speech: a stream has been heard for a while, and ends come late
QUIET = 0.008  # of full scale; less at a piece's edges is cut off
AUDIBLE_DB = -32  # 10 ms under the utterance's own level are no speech any more
SYNCHRONOUS, UTF8, SPEED, PITCH = 2, 1, 1, 3
BABBLERS = 8


def words_set(text: str) -> frozenset[str]:
    return frozenset(text.split())


# What may follow a sentence that then breaks off, and beginnings that cannot be an end.
OPENINGS = {
    "en": (
        ["and", "but", "because", "and the", "so the", "with my"],
        [
            *(
                "what is the capital of",
                "my name is",
                "i live in",
                "tell me a story about the",
                "i want to",
                "i want a",
            ),
            *("can you tell me the", "i like the", "what is one plus", "what is the weather like in", "what colour is"),
        ],
    ),
    "zh": (
        ["和", "但是", "因为", "然后", "如果"],
        ["我叫", "我住在", "我的名字是", "我想听小猫的", "告诉我中国的", "三加", "我来自", "我最喜欢吃"],
    ),
    "ko": (
        ["그리고", "그런데", "그래서"],
        ["저는", "제 이름은", "저는 서울에", "오늘 날씨가", "커피를", "고양이 이야기를", "한국의", "내일 부산에"],
    ),
}
MANDARIN_WORDS = words_set(
    "什么 怎么 怎么样 哪里 首都 天气 名字 故事 告诉 喜欢 可以 今天 明天 后天 周末 晚上 早上 你好 谢谢 再见 "
    "知道 一下 自己 我们 聪明 可爱 厉害 有趣 机器人 人工智能 孙悟空 小女孩 小男孩 公主 月亮 兔子 小猫 小狗 "
    "声音 音乐 空调 电视 窗户 电话 英语 反义词 颜色 爱好 等于 睡觉 睡不着 休息 无聊 心情 难过 高兴 开心 工作 "
    "考试 通过 肚子 不舒服 感冒 头疼 因为 但是 然后 如果 星期 星期一 星期二 星期三 星期四 星期五 星期六 星期天 "
    "北京 上海 广州 深圳 成都 西安 南京 香港 伦敦 巴黎 纽约 东京 柏林 首尔 法国 德国 意大利 西班牙 英国 中国 "
    "日本 俄罗斯 埃及 加拿大 泰国 韩国 希腊 美国 印度 波兰 巴西 墨西哥 面条 米饭 面包 苹果 蛋糕 巧克力 饺子 "
    "冰淇淋 包子 香蕉 西瓜 火锅 草莓 鸡蛋 红色 蓝色 绿色 黄色 黑色 白色 紫色 粉色 看书 游泳 下棋 踢足球 跳舞 "
    "画画 做饭 跑步 唱歌 看电影 旅行 天空 太阳 牛奶 大海 大象 树叶 鸭子 青蛙 狮子 小鸟 老鼠 公鸡 蜘蛛 朋友 "
    "家人 生日 问题 意思 下雨 不好意思 对不起 没关系 祝你 愉快 答案 接着 继续 安静 请问 介绍 最近 时候 认识 "
    "见到 小明 小红 小刚 小丽 张伟 王芳 李娜 李明 大卫 玛丽 汤姆 安娜 小王 小李 小雪"
)
FLITE = {
    "what_is_the_capital_of_france": "what is the capital of france",
    "hello_how_are_you_today": "hello how are you today",
    "can_you_hear_me": "can you hear me",
    "tell_me_a_story": "tell me a story",
}


@dataclass(frozen=True)
class Utterance:
    """One sentence with its pauses; places are samples of `sound`, which has `LEAD_S` before it and `TAIL_S` after."""

    language: str
    text: str
    is_complete: bool
    sound: Samples
    start_samples: int
    end_samples: int  # the last sample of speech
    pauses: tuple[tuple[int, int], ...]

    def after(self, lead_ms: int) -> "Utterance":
        """The same, so long after its stream begins; no more than `LEAD_S`."""
        skipped = round(LEAD_S * RATE) - lead_ms * RATE // 1000
        pauses = tuple((start - skipped, end - skipped) for start, end in self.pauses)
        start, end = self.start_samples - skipped, self.end_samples - skipped
        return replace(self, sound=self.sound[skipped:], start_samples=start, end_samples=end, pauses=pauses)


Heard = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class Speaker:
    """espeak-ng in this process."""

    def __init__(self) -> None:
        self._espeak: Any = ctypes.CDLL(espeakng_loader.get_library_path())
        self._espeak.espeak_Initialize.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_int]
        data = os.fsencode(espeakng_loader.get_data_path())
        self._rate_hz = self._espeak.espeak_Initialize(SYNCHRONOUS, 0, data, 0)
        self._blocks: list[npt.NDArray[np.int16]] = []
        self._listener: Callable[..., int] = Heard(self._hear)  # kept, or the library would call freed memory
        self._espeak.espeak_SetSynthCallback(self._listener)

    def say(self, text: str, voice: str, pitch: int, speed: int) -> Samples:
        """The sound without its quiet edges; full scale is 1."""
        if self._espeak.espeak_SetVoiceByName(voice.encode()):
            raise ValueError(f"espeak-ng has no voice {voice!r}")
        self._espeak.espeak_SetParameter(SPEED, speed, 0)
        self._espeak.espeak_SetParameter(PITCH, pitch, 0)
        self._blocks.clear()
        raw = text.encode() + b"\0"
        self._espeak.espeak_Synth(raw, ctypes.c_size_t(len(raw)), 0, 0, 0, UTF8, None, None)
        whole = np.concatenate([*self._blocks, np.zeros(1, np.int16)]).astype(np.float32) / np.float32(32_768)
        return trimmed(np.asarray(soxr.resample(whole, self._rate_hz, RATE), np.float32))

    def _hear(self, samples: Any, number: int, _events: object) -> int:
        if samples and number > 0:
            self._blocks.append(np.ctypeslib.as_array(samples, shape=(number,)).copy())
        return 0


def trimmed(sound: npt.NDArray[Any]) -> Samples:
    loud = np.flatnonzero(np.abs(sound) > QUIET)
    return np.asarray(sound[loud[0] : loud[-1] + 1] if len(loud) else sound[:0], np.float32)


def corpus(seed: int = 1, share: float = 1.0) -> list[Utterance]:
    """Every utterance, or the first `share` of each language; recorded ones first."""
    random, speaker = Random(seed), Speaker()
    made = [recorded(name, text, random) for name, text in FLITE.items()]
    for language, number in NUMBERS.items():
        made += [spoken(language, random, speaker) for _ in range(round(number * share))]
    return made


def recorded(name: str, text: str, random: Random) -> Utterance:
    """A file of another synthesiser, as it is."""
    assert (FOLDER / f"{name}.wav").exists()
    sound = np.frombuffer(speech(name), "<i2").astype(np.float32) / 32_768
    return laid("en", text, True, [trimmed(sound)], [], random)


def spoken(language: str, random: Random, speaker: Speaker) -> Utterance:
    """A drawn sentence in a drawn voice, with pauses where there are words enough."""
    is_complete = random.random() >= OPEN_SHARE
    words = drawn_words(language, is_complete, random)
    pieces = [words]
    if random.random() < WITH_PAUSES_SHARE:
        number = min(2, len(words) // 2)
        cuts = sorted(random.sample(range(1, len(words)), number)) if number else []
        pieces = [words[start:end] for start, end in zip([0, *cuts], [*cuts, len(words)], strict=True)]
    glue = "" if language == "zh" else " "
    voice, pitch, speed = random.choice(VOICES[language]), random.choice(PITCHES), random.choice(RATES)
    sounds = [speaker.say(glue.join(piece), voice, pitch, speed) for piece in pieces]
    pauses_ms = [random.randint(*random.choices(PAUSES_MS, PAUSE_WEIGHTS)[0]) for _ in pieces[1:]]
    return laid(language, glue.join(words), is_complete, sounds, pauses_ms, random)


def drawn_words(language: str, is_complete: bool, random: Random) -> list[str]:
    """The words of a whole sentence, or of one that breaks off; characters in Mandarin."""
    texts = json.loads(TEXTS.read_text(encoding="utf-8"))[language]
    template = random.choices([text for _, text in texts["templates"]], [weight for weight, _ in texts["templates"]])[0]
    slots = {name: random.choice(values.split("|")) for name, values in texts["slots"].items()}
    fixed = [text for line in texts["fixed"] for text in line.split("|")]
    whole = random.choice([random.choice(fixed), template.format(**slots)])
    if not is_complete:
        endings, beginnings = OPENINGS[language]
        joint = "" if language == "zh" else " "
        whole = random.choice([whole + joint + random.choice(endings), random.choice(beginnings)])
    return words_of(whole) if language == "zh" else whole.split()


def words_of(text: str) -> list[str]:
    """Mandarin cut where somebody may pause: the longest word that is known, else a character."""
    words = []
    while text:
        size = next((size for size in (4, 3, 2) if text[:size] in MANDARIN_WORDS), 1)
        words.append(text[:size])
        text = text[size:]
    return words


def laid(
    language: str, text: str, is_complete: bool, pieces: list[Samples], pauses_ms: list[int], random: Random
) -> Utterance:
    """The pieces in a row, at a drawn level, with their true edges."""
    level = float(np.sqrt(np.mean(np.square(np.concatenate(pieces)))))
    gain = 10 ** (random.choice(LEVELS_DB) / 20) / level
    parts, edges, place = [np.zeros(int(LEAD_S * RATE), np.float32)], [], int(LEAD_S * RATE)
    for piece, pause_ms in zip(pieces, [*pauses_ms, 0], strict=True):
        first, last = audible(piece, level)
        edges.append((place + first, place + last))
        parts += [piece * gain, np.zeros(pause_ms * RATE // 1000, np.float32)]
        place += len(piece) + pause_ms * RATE // 1000
    sound = np.concatenate([*parts, np.zeros(int(TAIL_S * RATE), np.float32)]).clip(-1, 1)
    pauses = tuple((end, start) for (_, end), (start, _) in pairwise(edges))
    return Utterance(language, text, is_complete, sound, edges[0][0], edges[-1][1], pauses)


def audible(piece: Samples, level: float) -> tuple[int, int]:
    """First and last place that is loud enough to be heard beside the rest of the utterance."""
    hop = RATE // 100
    blocks = piece[: len(piece) // hop * hop].reshape(-1, hop)
    loud = np.flatnonzero(np.sqrt(np.mean(blocks * blocks, axis=1)) > level * 10 ** (AUDIBLE_DB / 20))
    return (int(loud[0]) * hop, int(loud[-1] + 1) * hop) if len(loud) else (0, len(piece))


def babble(seconds: int = 20, seed: int = 2) -> Samples:
    """Many voices at once, RMS 1."""
    random, speaker = Random(seed), Speaker()
    whole = np.zeros(seconds * RATE, np.float32)
    for _ in range(BABBLERS):
        voice, place = random.choice(VOICES["en"]), 0
        while place < len(whole):
            words = " ".join(" ".join(drawn_words("en", True, random)) for _ in range(4))
            said = speaker.say(words, voice, random.choice(PITCHES), random.choice(RATES))[: len(whole) - place]
            whole[place : place + len(said)] += said / np.sqrt(np.mean(said * said))
            place += len(said)
    return whole / np.float32(np.sqrt(np.mean(whole * whole)))


def noisy(utterance: Utterance, snr_db: float | None, noise: str, voices: Samples, seed: int) -> bytes:
    """PCM16 with white noise or babble at `snr_db` below the speech; None: the hiss of a quiet room."""
    generator = np.random.default_rng(seed)
    sound = utterance.sound
    spoken_parts = sound[np.abs(sound) > 0]
    level = float(np.sqrt(np.mean(spoken_parts * spoken_parts)))
    scale = 10 ** (-66 / 20) if snr_db is None else level * 10 ** (-snr_db / 20)
    if noise == "white" or snr_db is None:
        added = generator.standard_normal(len(sound), np.float32)
    else:
        added = np.resize(np.roll(voices, int(generator.integers(len(voices)))), len(sound))
    return (np.clip(sound + added * scale, -1, 1) * 32_767).astype("<i2").tobytes()


def main(path: Path | None) -> None:
    """What is in the corpus; with a path, the first minutes of it as a file to listen to."""
    made = corpus()
    for one in made:
        pauses = ", ".join(f"{(end - start) * 1000 // RATE}" for start, end in one.pauses)
        print(one.language, "complete" if one.is_complete else "open    ", one.text, f"[{pauses}]")
    print(len(made), "utterances,", sum(len(one.pauses) for one in made), "pauses")
    if path is not None:
        voices = babble()
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, RATE, 0, "NONE", ""))
            for number, one in enumerate(made[:40]):
                file.writeframes(noisy(one, 10, ("white", "babble")[number % 2], voices, number))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
