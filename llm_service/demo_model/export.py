"""Write a checkpoint as a GGUF, tokeniser and ChatML template inside.

Output layer and embedding are tied: no `output.weight` is written, llama.cpp uses `token_embd` for both. The same
checkpoint gives the same file, byte for byte. Reads WORK/tokenizer.json and WORK/model.pt.
Run: python -m llm_service.demo_model.export WORK OUT.gguf [q8_0|f16|f32]
"""

import json
import sys
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch

TEMPLATE = (
    "{% for m in messages %}{{'<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{'<|im_start|>assistant\n'}}{% endif %}"
)
NORMS = {"n1": "attn_norm", "n2": "ffn_norm"}
MATRICES = {
    "q": "attn_q",
    "k": "attn_k",
    "v": "attn_v",
    "o": "attn_output",
    "gate": "ffn_gate",
    "up": "ffn_up",
    "down": "ffn_down",
}
FILE_TYPES = {
    "f32": gguf.LlamaFileType.ALL_F32,
    "f16": gguf.LlamaFileType.MOSTLY_F16,
    "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
}
END_OF_TEXT, END_OF_TURN = 0, 2


def add_origin(w: gguf.GGUFWriter, checkpoint: dict[str, Any]) -> None:
    w.add_name("parley-demo")
    w.add_description(
        "Parley's small demo model: small talk in English and Chinese, trained on the project's own templates"
    )
    w.add_license("mit")
    w.add_uint32("parley.corpus_seed", checkpoint["seed"])
    w.add_uint32("parley.training_steps", checkpoint["steps"])
    w.add_uint64("parley.training_tokens", checkpoint["tokens"])


def add_shape(w: gguf.GGUFWriter, c: dict[str, Any], kind: str) -> None:
    w.add_context_length(c["context"])
    w.add_embedding_length(c["d"])
    w.add_block_count(c["layers"])
    w.add_feed_forward_length(c["ff"])
    w.add_head_count(c["heads"])
    w.add_head_count_kv(c["heads"])
    w.add_layer_norm_rms_eps(c["eps"])
    w.add_rope_freq_base(c["theta"])
    w.add_rope_dimension_count(c["d"] // c["heads"])
    w.add_vocab_size(c["vocab"])
    w.add_file_type(FILE_TYPES[kind])


def add_tokeniser(w: gguf.GGUFWriter, tokeniser: dict[str, Any], entries: int) -> None:
    bpe = tokeniser["model"]
    tokens = sorted(bpe["vocab"], key=bpe["vocab"].__getitem__)
    if len(tokens) != entries:
        raise SystemExit("tokenizer.json does not belong to this checkpoint")
    special = {t["id"] for t in tokeniser["added_tokens"]}
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("qwen2")
    w.add_token_list(tokens)
    w.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in bpe["merges"]])
    w.add_token_types([gguf.TokenType.CONTROL if i in special else gguf.TokenType.NORMAL for i in range(entries)])
    w.add_bos_token_id(END_OF_TEXT)
    w.add_eos_token_id(END_OF_TURN)
    w.add_pad_token_id(END_OF_TEXT)
    w.add_eot_token_id(END_OF_TURN)
    w.add_add_bos_token(False)
    w.add_chat_template(TEMPLATE)


def add_tensor(w: gguf.GGUFWriter, name: str, tensor: torch.Tensor, kind: str) -> None:
    values = np.ascontiguousarray(tensor.float().numpy(), dtype=np.float32)
    if values.ndim == 1 or kind == "f32":
        w.add_tensor(name, values)
    elif kind == "f16":
        w.add_tensor(name, values.astype(np.float16))
    else:
        q8 = gguf.GGMLQuantizationType.Q8_0
        w.add_tensor(name, gguf.quants.quantize(values, q8), raw_dtype=q8)


def tensors(weights: dict[str, torch.Tensor], layers: int) -> dict[str, torch.Tensor]:
    """llama.cpp's names -> ours."""
    named = {"token_embd.weight": weights["emb.weight"]}
    for i in range(layers):
        named |= {f"blk.{i}.{theirs}.weight": weights[f"blocks.{i}.{ours}.w"] for ours, theirs in NORMS.items()}
        named |= {f"blk.{i}.{theirs}.weight": weights[f"blocks.{i}.{ours}.weight"] for ours, theirs in MATRICES.items()}
    return named | {"output_norm.weight": weights["norm.w"]}


def main(work: Path, out: str, kind: str = "q8_0") -> None:
    checkpoint = torch.load(work / "model.pt", weights_only=True)
    shape = checkpoint["config"]
    w = gguf.GGUFWriter(out, "llama")
    add_origin(w, checkpoint)
    add_shape(w, shape, kind)
    add_tokeniser(w, json.loads((work / "tokenizer.json").read_text(encoding="utf-8")), shape["vocab"])
    for name, tensor in tensors(checkpoint["weights"], shape["layers"]).items():
        add_tensor(w, name, tensor, kind)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:4])
