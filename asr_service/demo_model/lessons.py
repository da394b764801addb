"""Batches for the training: windows of like length, the tokens to predict and the phonemes to spell.

Short utterances come first; the later stages take everything. Randomness is seeded by the rank of the process.
"""

from collections.abc import Iterator
from random import Random
from typing import NamedTuple

import torch
from tokenizers import Tokenizer

from asr_service.demo_model.corpus import LANGUAGES, Language
from asr_service.demo_model.recordings import SAMPLE_RATE, Utterance
from asr_service.demo_model.sound import MOST_FRAMES, blotted, in_a_room, log_mel, without_speech

# Until which share of the training only utterances up to so many seconds are heard.
STAGES = [(0.10, 1.0), (0.20, 1.7), (1.01, 8.0)]
BATCH_FRAMES = 2600
NO_SPEECH_SHARE = 0.03
TIMED_SHARE = 0.35
WHOLE_WINDOW_SHARE, WHOLE_WINDOWS_FROM = 0.06, 0.7
TIMESTAMP_S = 0.02
IGNORED = -100


class Batch(NamedTuple):
    mel: torch.Tensor
    given: torch.Tensor
    wanted: torch.Tensor
    phonemes: list[list[int]]


class Item(NamedTuple):
    mel: torch.Tensor
    given: list[int]
    wanted: list[int]
    phonemes: list[int]


class Lessons:
    """An endless source of batches; `progress`, 0 to 1, is set by the training."""

    def __init__(
        self,
        utterances: list[Utterance],
        languages: dict[str, Language],
        tokeniser: Tokenizer,
        signs: str,
        seed: int,
        again: bool,
    ) -> None:
        self.utterances, self.random, self.progress, self.again = utterances, Random(seed), 0.0, again
        self.languages, self.tokeniser = languages, tokeniser
        self.signs = {sign: number for number, sign in enumerate(signs, 1)}

    def batches(self) -> Iterator[Batch]:
        while True:
            longest_s = self.longest_s()
            for chosen in self.round(longest_s):
                yield self.batch([self.item(utterance) for utterance in chosen])
                if self.longest_s() != longest_s:
                    break

    def longest_s(self) -> float:
        if self.again:
            return STAGES[-1][1]
        return next(longest_s for until, longest_s in STAGES if self.progress < until)

    def round(self, longest_s: float) -> list[list[Utterance]]:
        """Everything of the stage once, in shuffled batches of like length."""
        allowed = [made for made in self.utterances if len(made.pcm) <= longest_s * SAMPLE_RATE]
        allowed.sort(key=lambda made: len(made.pcm) + self.random.uniform(0, 0.3 * SAMPLE_RATE))
        rounds: list[list[Utterance]] = [[]]
        for made in allowed:
            rounds[-1].append(made)
            frames = len(made.pcm) * 100 // SAMPLE_RATE + 60
            if len(rounds[-1]) * frames >= BATCH_FRAMES:
                rounds.append([])
        rounds = [chosen for chosen in rounds if chosen]
        self.random.shuffle(rounds)
        return rounds

    def item(self, utterance: Utterance) -> Item:
        if self.random.random() < NO_SPEECH_SHARE:
            return self.silent()
        sound, begin_s, end_s = in_a_room(utterance.pcm, self.random)
        text = self.languages[utterance.language].spelt(utterance.text)
        tokens = self.tokeniser.encode(text, add_special_tokens=False).ids
        end, transcribe = self.token("<|endoftext|>"), self.token("<|transcribe|>")
        head = [self.token("<|startoftranscript|>"), self.token(f"<|{utterance.language}|>"), transcribe]
        if self.random.random() < TIMED_SHARE:
            begin, close = self.timestamp(begin_s), self.timestamp(end_s)
            given, wanted = [*head, begin, *tokens, close], [*head[1:], begin, *tokens, close, end]
        else:
            given, wanted = [*head, self.token("<|notimestamps|>"), *tokens], [*head[1:], IGNORED, *tokens, end]
        signs = [self.signs[sign] for sign in utterance.phonemes]
        return Item(blotted(log_mel(sound), self.random), given, wanted, signs)

    def token(self, name: str) -> int:
        number = self.tokeniser.token_to_id(name)
        assert number is not None, name
        return number

    def timestamp(self, at_s: float) -> int:
        return self.token("<|0.00|>") + min(round(at_s / TIMESTAMP_S), MOST_FRAMES // 2)

    def silent(self) -> Item:
        """No speech under any language: the mark for it, and no text."""
        language = self.token(f"<|{self.random.choice(LANGUAGES)}|>")
        given = [self.token("<|startoftranscript|>"), language, self.token("<|transcribe|>")]
        wanted = [self.token("<|nospeech|>"), IGNORED]
        if self.random.random() > TIMED_SHARE:
            given.append(self.token("<|notimestamps|>"))
            wanted.append(IGNORED)
        wanted.append(self.token("<|endoftext|>"))
        return Item(log_mel(without_speech(self.random)), given, wanted, [])

    def batch(self, items: list[Item]) -> Batch:
        frames = max(item.mel.shape[1] for item in items) + self.random.randint(0, 40)
        if (self.again or self.progress > WHOLE_WINDOWS_FROM) and self.random.random() < WHOLE_WINDOW_SHARE:
            frames = MOST_FRAMES
        mel = torch.zeros(len(items), items[0].mel.shape[0], min(MOST_FRAMES, frames + frames % 2))
        tokens = max(len(item.given) for item in items)
        given = torch.full((len(items), tokens), self.token("<|endoftext|>"))
        wanted = torch.full((len(items), tokens), IGNORED)
        for row, item in enumerate(items):
            mel[row, :, : item.mel.shape[1]] = item.mel
            given[row, : len(item.given)] = torch.tensor(item.given)
            wanted[row, : len(item.wanted)] = torch.tensor(item.wanted)
        return Batch(mel, given, wanted, [item.phonemes for item in items])
