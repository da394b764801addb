"""Train the demo model's tokeniser: byte-level BPE, split as llama.cpp's "qwen2" pre-tokeniser splits.

The split below must equal what the GGUF promises in `tokenizer.ggml.pre`, else the model meets tokens it never learnt.
Run: python -m llm_service.demo_model.tokeniser WORK/tokenizer.json
"""

import sys
from collections.abc import Iterator
from itertools import islice

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from llm_service.demo_model.corpus import samples

ENTRIES = 3072
SEED = 20261119
CONVERSATIONS = 15_000
QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def texts() -> Iterator[str]:
    for messages in islice(samples(SEED), CONVERSATIONS):
        for message in messages:
            yield message["role"] + "\n" + message["content"]


def main(path: str) -> None:
    tokeniser = Tokenizer(models.BPE())
    tokeniser.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokeniser.decoder = decoders.ByteLevel()
    tokeniser.train_from_iterator(
        texts(),
        trainers.BpeTrainer(
            vocab_size=ENTRIES,
            min_frequency=3,
            max_token_length=12,
            special_tokens=SPECIAL,
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        ),
    )
    tokeniser.save(path)
    for text in ("What is the capital of France?", "你好，我叫小明。给我讲个故事吧"):
        ids = tokeniser.encode(text).ids
        if tokeniser.decode(ids) != text:
            raise SystemExit(f"does not give back: {text}")
        print(len(ids), "tokens:", text)


if __name__ == "__main__":
    main(sys.argv[1])
