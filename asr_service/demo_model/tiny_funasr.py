"""Tiny folders for the engine `funasr`: real files that the real library loads, with weights that nobody taught.

    python -m asr_service.demo_model.tiny_funasr OUT

writes `streaming`, `paraformer`, `sense-voice` and `punctuation` into OUT, about a megabyte each. What they write is
nonsense, the same for the same sound: enough to see that streams keep apart and that nothing depends on how sound is
cut. SenseVoice's tags are the real ones: the language that it is told, Chinese when it is told none.

Needs FunASR and PyTorch. Laws: the same releases of both write the same weights; nothing is fetched.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import funasr  # noqa: F401  (fills its table of parts)
import sentencepiece
import torch
import yaml
from funasr.register import tables

WIDTH, UNITS, HEADS = 64, 128, 4
BANDS, STACK, SKIP = 80, 7, 6  # of the features: mel bands, frames in a row, and how many of them on to the next
INPUT = BANDS * STACK
SYLLABLES = "你好今天气怎么样现在几点了请给我讲个故事谢再见北京上海"
WORDS = ("hel@@", "lo", "day")
MARKS = ["<unk>", "_", "，", "。", "？", "、"]
LANGUAGES = ("zh", "en", "yue", "ja", "ko")
TAGS = [f"<|{name}|>" for name in (*LANGUAGES, "nospeech", "NEUTRAL", "Speech", "withitn", "woitn")]
FRONT = {"fs": 16_000, "window": "hamming", "n_mels": BANDS, "frame_length": 25, "frame_shift": 10}
DROPOUT = {"dropout_rate": 0.1, "positional_dropout_rate": 0.1}
LOUD = 8.0  # how much likelier a tag is than anything else, where it belongs


def encoder_conf(blocks: int, **more: Any) -> dict[str, Any]:
    return {
        "output_size": WIDTH, "attention_heads": HEADS, "linear_units": UNITS, "num_blocks": blocks,
        "attention_dropout_rate": 0.1, "input_layer": "pe", "pos_enc_class": "SinusoidalPositionEncoder",
        "normalize_before": True, "kernel_size": 11, "sanm_shfit": 0, "selfattention_layer_type": "sanm",
        **DROPOUT, **more,
    }  # fmt: skip


def paraformer_config(model: str) -> dict[str, Any]:
    is_streaming = model == "ParaformerStreaming"
    chunks = {
        "input_layer": "pe_online", "chunk_size": [12, 15], "stride": [8, 10], "pad_left": [0, 0],
        "encoder_att_look_back_factor": [4, 4], "decoder_att_look_back_factor": [1, 1],
    }  # fmt: skip
    return {
        "model": model,
        "model_conf": {"ctc_weight": 0.0, "length_normalized_loss": True, "predictor_weight": 1.0, "predictor_bias": 1},
        "encoder": "SANMEncoderChunkOpt" if is_streaming else "SANMEncoder",
        "encoder_conf": encoder_conf(3, **(chunks if is_streaming else {})),
        "decoder": "ParaformerSANMDecoder",
        "decoder_conf": {
            "attention_heads": HEADS, "linear_units": UNITS, "num_blocks": 2, "att_layer_num": 2, "kernel_size": 11,
            "sanm_shfit": 5 if is_streaming else 0, "self_attention_dropout_rate": 0.1,
            "src_attention_dropout_rate": 0.1, **DROPOUT,
        },
        "predictor": "CifPredictorV2",
        "predictor_conf": {"idim": WIDTH, "threshold": 1.0, "l_order": 1, "r_order": 1, "tail_threshold": 0.45}
        | ({"l_order": 0} if is_streaming else {}),
        "frontend": "WavFrontendOnline" if is_streaming else "WavFrontend",
        "frontend_conf": FRONT | {"lfr_m": STACK, "lfr_n": SKIP},
        "tokenizer": "CharTokenizer",
        "tokenizer_conf": {"unk_symbol": "<unk>", "split_with_space": True},
    }  # fmt: skip


def with_times(config: dict[str, Any]) -> dict[str, Any]:
    """As the offline models are that know when a word was said, and may be told words to look out for."""
    more = {"smooth_factor2": 0.25, "noise_threshold2": 0.01, "upsample_times": 3, "upsample_type": "cnn_blstm"}
    return config | {
        "predictor": "CifPredictorV3",
        "predictor_conf": config["predictor_conf"] | more | {"use_cif1_cnn": False},
        "model_conf": config["model_conf"] | {"inner_dim": WIDTH, "bias_encoder_type": "lstm"},
        "seaco_decoder": config["decoder"],
        "seaco_decoder_conf": config["decoder_conf"] | {"wo_input_layer": True},
    }


def sense_voice_config() -> dict[str, Any]:
    return {
        "model": "SenseVoiceSmall",
        "model_conf": {"length_normalized_loss": True, "sos": 1, "eos": 2, "ignore_id": -1},
        "encoder": "SenseVoiceEncoderSmall",
        "encoder_conf": encoder_conf(2, tp_blocks=1),
        "frontend": "WavFrontend",
        "frontend_conf": FRONT | {"lfr_m": STACK, "lfr_n": SKIP},
        "tokenizer": "SentencepiecesTokenizer",
        "tokenizer_conf": {"unk_symbol": "<unk>", "split_with_space": True},
    }


def punctuation_config() -> dict[str, Any]:
    return {
        "model": "CTTransformer",
        "model_conf": {"punc_list": MARKS, "embed_unit": WIDTH, "att_unit": WIDTH, "sentence_end_id": 3},
        "encoder": "SANMEncoder",
        "encoder_conf": encoder_conf(2, input_size=WIDTH, padding_idx=0),
        "tokenizer": "CharTokenizer",
        "tokenizer_conf": {"unk_symbol": "<unk>", "split_with_space": True},
    }


def write_config(folder: Path, config: dict[str, Any]) -> None:
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True), encoding="utf-8")


def write_tokens(folder: Path, tokens: list[str]) -> None:
    (folder / "tokens.json").write_text(json.dumps(tokens, ensure_ascii=False), encoding="utf-8")


def write_normalisation(folder: Path) -> None:
    """What features are shifted by and scaled with, in Kaldi's way of writing."""
    rows = "".join(
        f"<{name}> {INPUT} {INPUT}\n<LearnRateCoef> 0 [ {' '.join([value] * INPUT)} ]\n"
        for name, value in (("AddShift", "-8.3"), ("Rescale", "0.16"))
    )
    (folder / "am.mvn").write_text(f"<Nnet>\n<Splice> {INPUT} {INPUT}\n[ 0 ]\n{rows}</Nnet>\n", encoding="utf-8")


def built(config: dict[str, Any], vocabulary: list[str]) -> Any:
    """The model as the library builds it, so that its parameters have the library's names."""
    torch.manual_seed(0)
    return tables.model_classes[config["model"]](
        **config["model_conf"], **config, vocab_size=len(vocabulary), input_size=INPUT, token_list=vocabulary
    ).eval()


def write_paraformer(folder: Path, model: str) -> None:
    """A folder of the streaming or of one of the offline kinds, by its name in the library."""
    config = paraformer_config(model)
    if model in ("BiCifParaformer", "SeacoParaformer"):
        config = with_times(config)
    vocabulary = ["<blank>", "<s>", "</s>", *dict.fromkeys(SYLLABLES), *WORDS, "<unk>"]
    write_config(folder, config)
    write_tokens(folder, vocabulary)
    write_normalisation(folder)
    made = built(config, vocabulary)
    with torch.no_grad():
        made.predictor.cif_output.bias.fill_(-0.6)  # about 0.35 a frame: one token every 180 ms
    torch.save({"state_dict": made.state_dict()}, folder / "model.pt")


def write_sense_voice(folder: Path) -> None:
    """A folder of SenseVoiceSmall, whose first four places are its tags."""
    config = sense_voice_config()
    write_config(folder, config)
    write_normalisation(folder)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([*SYLLABLES, "hello again", "good day"]),
        model_prefix=str(folder / "tiny.bpe"),
        vocab_size=64,
        user_defined_symbols=TAGS,
        character_coverage=1.0,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    (folder / "tiny.bpe.vocab").unlink()
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tiny.bpe.model"))
    made = built(config, [pieces.id_to_piece(one) for one in range(pieces.get_piece_size())])
    with torch.no_grad():
        teach_tags(made, [pieces.piece_to_id(tag) for tag in TAGS])
    torch.save(made.state_dict(), folder / "model.pt")


def teach_tags(model: Any, ids: list[int]) -> None:
    """Turn the rows of the tags to what the encoder gives in their places, and away from the rest."""
    tag = dict(zip(TAGS, ids, strict=True))
    asked = {"auto": "<|zh|>"} | {name: f"<|{name}|>" for name in LANGUAGES}
    seen: dict[str, list[torch.Tensor]] = {}
    others = []
    for language, answer in asked.items():
        for _ in range(4):
            places = encoded(model, model.lid_dict[language])
            for name, place in zip((answer, "<|NEUTRAL|>", "<|Speech|>", "<|withitn|>"), places, strict=False):
                seen.setdefault(name, []).append(place)
            others.append(places[4:].mean(0))
    out = model.ctc.ctc_lo
    middle = torch.stack([*others, *(torch.stack(found).mean(0) for found in seen.values())]).mean(0)
    out.bias[ids] = -1e4  # a tag stands nowhere else
    for name, found in seen.items():
        direction = torch.stack(found).mean(0) - middle
        direction *= 40 * LOUD / direction.dot(direction)
        out.weight[tag[name]] = direction
        out.bias[tag[name]] = -direction.dot(middle) - 20 * LOUD


def encoded(model: Any, language: int) -> torch.Tensor:
    """What the encoder makes of noise, its four questions first."""
    noise = torch.randn(1, 40, INPUT)
    asked = model.embed(torch.tensor([[language, 1, 2, model.textnorm_dict["withitn"]]]))
    found: torch.Tensor = model.encoder(torch.cat((asked, noise), dim=1), torch.tensor([44]))[0][0]
    return found


def write_punctuation(folder: Path) -> None:
    """A folder of CT-Transformer."""
    config = punctuation_config()
    vocabulary = ["<blank>", *dict.fromkeys(SYLLABLES), "hello", "day", "<unk>"]
    write_config(folder, config)
    write_tokens(folder, vocabulary)
    made = built(config, vocabulary)
    with torch.no_grad():
        made.decoder.bias[0] = -1e4  # the first mark is for what no model writes
    torch.save({"model": made.state_dict()}, folder / "model.pt")


def write(out: Path) -> None:
    """All four folders; FileExistsError when one is there already."""
    write_paraformer(out / "streaming", "ParaformerStreaming")
    write_paraformer(out / "paraformer", "Paraformer")
    write_sense_voice(out / "sense-voice")
    write_punctuation(out / "punctuation")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write tiny FunASR folders.")
    parser.add_argument("out", type=Path)
    write(parser.parse_args().out)
