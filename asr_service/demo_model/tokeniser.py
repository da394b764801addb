"""The demo recogniser's tokeniser: a byte-level BPE over the corpus, then Whisper's own tokens in Whisper's order.

The empty token stands before them: by it ctranslate2 tells a multilingual vocabulary. Timestamps come last.
Run: python -m asr_service.demo_model.tokeniser TOKENIZER.json
"""

import json
import sys
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from asr_service.demo_model.corpus import languages

TEXT_TOKENS = 1350
LONGEST_TOKEN = 9  # bytes: three Chinese characters or Korean syllables
WEIGHT_OF_FIXED = 3
# faster-whisper forbids the first token of " -", " '" and " ♩". Without merges of their own that is the bare space, and
# words get lost.
FORBIDDEN = [("Ġ", "-"), ("Ġ", "'"), ("â", "Ļ"), ("Ġ", "âĻ")]
CODES = (
    "en zh de es ru ko fr ja pt tr pl ca nl ar sv it id hi fi vi he uk el ms cs ro da hu ta no th ur hr bg lt la mi ml "
    "cy sk te fa lv bn sr az sl kn et mk br eu is hy ne mn bs kk sq sw gl mr pa si km sn yo so af oc ka be tg sd gu am "
    "yi lo uz fo ht ps tk nn mt sa lb my bo tl mg as tt haw ln ha ba jw su"
)
WHISPER_LANGUAGES = CODES.split()
TASKS = ["translate", "transcribe", "startoflm", "startofprev", "nospeech", "notimestamps"]
TIMESTAMPS = [f"<|{step * 0.02:.2f}|>" for step in range(1501)]
NAMED = [f"<|{name}|>" for name in ["endoftext", "startoftranscript", *WHISPER_LANGUAGES, *TASKS]]


def trained() -> dict[str, Any]:
    """The BPE alone, as its JSON."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=TEXT_TOKENS,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=[],
        show_progress=False,
        max_token_length=LONGEST_TOKEN,
    )
    texts = [
        language.spelt(text)
        for language in languages().values()
        for text in language.fixed * WEIGHT_OF_FIXED + [text for taught in language.taught for text in taught]
    ]
    bpe.train_from_iterator(texts, trainer)
    content: dict[str, Any] = json.loads(bpe.to_str())
    return content


def build(path: Path) -> Tokenizer:
    """Write the tokeniser and load it back."""
    content = trained()
    vocabulary: dict[str, int] = content["model"]["vocab"]
    for left, right in FORBIDDEN:
        vocabulary.setdefault(left + right, len(vocabulary))
    merges = [tuple(merge) for merge in content["model"]["merges"]]
    content["model"]["merges"] = [*FORBIDDEN, *(merge for merge in merges if merge not in FORBIDDEN)]
    vocabulary[""] = len(vocabulary)
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    content["added_tokens"] = [
        {"id": number, "content": token, "special": token in NAMED, **plain}
        for number, token in enumerate([*NAMED, *TIMESTAMPS], len(vocabulary))
    ]
    path.write_text(json.dumps(content, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")
    return Tokenizer.from_file(str(path))


if __name__ == "__main__":
    tokeniser = build(Path(sys.argv[1]))
    print(tokeniser.get_vocab_size(), "tokens")
    for text in ("今天天气怎么样", "我叫小明", " 오늘 날씨 어때요", " what is the capital of france", " -", " '", " ♩"):
        coded = tokeniser.encode(text, add_special_tokens=False)
        print(repr(text), coded.ids, repr(tokeniser.decode(coded.ids)))
