"""Tiny folders of CosyVoice 1 and 2 with random weights, which the real classes load as they are.

What they say is noise, and they never choose to stop, so that a text of n tokens lasts exactly 20 n speech tokens: 0.4
s for each token of a text in CosyVoice 1, 0.8 s for each byte of one in CosyVoice 2. Its flow cannot be made narrower
than 512, which makes it 60 MB. Needs the classes on the path, and what they need.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

WIDTH = 64  # of every transformer but the flow of 2
SPEAKER_WIDTH = 192
MELS = 80
PRESETS = ("中文女", "英文男", "韩语女")
SPEECH_TOKENS = {1: 4_096, 2: 6_561}
N_FFT = 16
LOUDER = 1.5  # added to the logarithm of every band
UNLIKELY = -10.0  # the score of a token that is never drawn


@dataclass(frozen=True)
class Tagged:
    """A value of the config that is made by calling something: `!new:` now, `!name:` whenever it is called."""

    tag: str
    fields: Mapping[str, object]


def new(path: str, **fields: object) -> Tagged:
    return Tagged(f"!new:{path}", fields)


def name(path: str, **fields: object) -> Tagged:
    return Tagged(f"!name:{path}", fields)


def written(fields: Mapping[str, object], depth: int = 0) -> str:
    """A config as YAML."""
    lines = []
    for key, value in fields.items():
        if isinstance(value, Tagged):
            lines += [f"{key}: {value.tag}", written(value.fields, depth + 1)]
        elif isinstance(value, Mapping):
            lines += [f"{key}:", written(value, depth + 1)]
        elif isinstance(value, str) and not value.startswith("!"):
            lines.append(f"{key}: '{value}'")
        else:
            lines.append(f"{key}: {value}")
    indent = "    " if depth else ""
    return "\n".join(indent + line for text in lines for line in text.splitlines())


SAMPLING = name("cosyvoice.utils.common.ras_sampling", top_p=0.8, top_k=25, win_size=10, tau_r=0.1)
BLOCKS = {"attention_heads": 2, "linear_units": 64, "num_blocks": 1}
NO_DROPOUT = {"dropout_rate": 0.0, "positional_dropout_rate": 0.0, "attention_dropout_rate": 0.0}
RELATIVE = {"pos_enc_layer_type": "rel_pos_espnet", "selfattention_layer_type": "rel_selfattn"}


def conformer(path: str, width: int, size: int, **more: object) -> Tagged:
    return new(
        path,
        input_size=width,
        output_size=size,
        **BLOCKS,
        **NO_DROPOUT,
        **RELATIVE,
        normalize_before=True,
        input_layer="linear",
        use_cnn_module=False,
        macaron_style=False,
        **more,
    )


def llm_1() -> Tagged:
    encoder = "cosyvoice.transformer.encoder"
    return new(
        "cosyvoice.llm.llm.TransformerLM",
        text_encoder_input_size=32,
        llm_input_size=WIDTH,
        llm_output_size=WIDTH,
        text_token_size=51_866,
        speech_token_size=SPEECH_TOKENS[1],
        length_normalized_loss=True,
        lsm_weight=0,
        spk_embed_dim=SPEAKER_WIDTH,
        text_encoder=conformer(f"{encoder}.ConformerEncoder", 32, WIDTH, static_chunk_size=1),
        llm=new(
            f"{encoder}.TransformerEncoder",
            input_size=WIDTH,
            output_size=WIDTH,
            **BLOCKS,
            **NO_DROPOUT,
            **RELATIVE,
            input_layer="linear_legacy",
            static_chunk_size=1,
        ),
        sampling=SAMPLING,
    )


def llm_2() -> Tagged:
    return new(
        "cosyvoice.llm.llm.Qwen2LM",
        llm_input_size=WIDTH,
        llm_output_size=WIDTH,
        speech_token_size=SPEECH_TOKENS[2],
        length_normalized_loss=True,
        lsm_weight=0,
        mix_ratio=[5, 15],
        llm=new("cosyvoice.llm.llm.Qwen2Encoder", pretrain_path="!ref <qwen_pretrain_path>"),
        sampling=SAMPLING,
    )


def decoder(causal: str, channels: list[int]) -> Tagged:
    more = {"static_chunk_size": 50, "num_decoding_left_chunks": -1} if causal else {}
    return new(
        f"cosyvoice.flow.flow_matching.{causal}ConditionalCFM",
        in_channels=3 * MELS,
        n_spks=1,
        spk_emb_dim=MELS,
        cfm_params=new(
            "omegaconf.DictConfig",
            content={
                "sigma_min": 1e-06,
                "solver": "euler",
                "t_scheduler": "cosine",
                "training_cfg_rate": 0.2,
                "inference_cfg_rate": 0.7,
                "reg_loss_type": "l1",
            },
        ),
        estimator=new(
            f"cosyvoice.flow.decoder.{causal}ConditionalDecoder",
            in_channels=4 * MELS,
            out_channels=MELS,
            channels=channels,
            dropout=0.0,
            attention_head_dim=16,
            n_blocks=1,
            num_mid_blocks=1,
            num_heads=2,
            act_fn="gelu",
            **more,
        ),
    )


def flow_1() -> Tagged:
    return new(
        "cosyvoice.flow.flow.MaskedDiffWithXvec",
        input_size=32,
        output_size=MELS,
        spk_embed_dim=SPEAKER_WIDTH,
        output_type="mel",
        vocab_size=SPEECH_TOKENS[1],
        input_frame_rate=50,
        only_mask_loss=True,
        encoder=conformer("cosyvoice.transformer.encoder.ConformerEncoder", 32, 32),
        length_regulator=new(
            "cosyvoice.flow.length_regulator.InterpolateRegulator", channels=MELS, sampling_ratios=[1, 1, 1, 1]
        ),
        decoder=decoder("", [32, 32]),
    )


def flow_2() -> Tagged:
    upsampler = "cosyvoice.transformer.upsample_encoder.UpsampleConformerEncoder"
    return new(
        "cosyvoice.flow.flow.CausalMaskedDiffWithXvec",
        input_size=512,
        output_size=MELS,
        spk_embed_dim=SPEAKER_WIDTH,
        output_type="mel",
        vocab_size=SPEECH_TOKENS[2],
        input_frame_rate=25,
        only_mask_loss=True,
        token_mel_ratio=2,
        pre_lookahead_len=3,
        encoder=conformer(upsampler, 512, 512, static_chunk_size=25),
        decoder=decoder("Causal", [32]),
    )


def vocoder(rate: int, upsample: dict[str, list[int]]) -> Tagged:
    dilations = [[1, 3, 5]] * 3
    return new(
        "cosyvoice.hifigan.generator.HiFTGenerator",
        in_channels=MELS,
        base_channels=32,
        nb_harmonics=8,
        sampling_rate=rate,
        nsf_alpha=0.1,
        nsf_sigma=0.003,
        nsf_voiced_threshold=10,
        upsample_rates=upsample["rates"],
        upsample_kernel_sizes=upsample["kernels"],
        istft_params={"n_fft": N_FFT, "hop_len": 4},
        resblock_kernel_sizes=[3, 7, 11],
        resblock_dilation_sizes=dilations,
        source_resblock_kernel_sizes=upsample["source"],
        source_resblock_dilation_sizes=dilations[: len(upsample["source"])],
        lrelu_slope=0.1,
        audio_limit=0.99,
        f0_predictor=new(
            "cosyvoice.hifigan.f0_predictor.ConvRNNF0Predictor", num_class=1, in_channels=MELS, cond_channels=16
        ),
    )


def features(rate: int, window: int, hop: int) -> Tagged:
    return name(
        "matcha.utils.audio.mel_spectrogram",
        n_fft=window,
        num_mels=MELS,
        sampling_rate=rate,
        hop_size=hop,
        win_size=window,
        fmin=0,
        fmax=8000,
        center=False,
    )


def config(kind: int) -> dict[str, object]:
    """What the folder's YAML says."""
    if kind == 1:
        tokenizer = name(
            "whisper.tokenizer.get_tokenizer", multilingual=True, num_languages=100, language="en", task="transcribe"
        )
        upsample = {"rates": [8, 8], "kernels": [16, 16], "source": [7, 11]}
        parts = {"llm": llm_1(), "flow": flow_1(), "hift": vocoder(22_050, upsample)}
        return {
            "sample_rate": 22_050,
            **parts,
            "get_tokenizer": tokenizer,
            "allowed_special": "all",
            "feat_extractor": features(22_050, 1024, 256),
        }
    upsample = {"rates": [8, 5, 3], "kernels": [16, 11, 7], "source": [7, 7, 11]}
    return {
        "sample_rate": 24_000,
        "qwen_pretrain_path": "",
        "llm": llm_2(),
        "flow": flow_2(),
        "hift": vocoder(24_000, upsample),
        "get_tokenizer": name(
            "cosyvoice.tokenizer.tokenizer.get_qwen_tokenizer",
            token_path="!ref <qwen_pretrain_path>",
            skip_special_tokens=True,
        ),
        "allowed_special": "all",
        "feat_extractor": features(24_000, 1920, 480),
    }


def write(kind: int, out: Path) -> None:
    """A folder of CosyVoice 1 or 2."""
    import torch
    from hyperpyyaml import load_hyperpyyaml

    out.mkdir(parents=True)
    torch.manual_seed(0)
    qwen = out / "CosyVoice-BlankEN"
    overrides = {"qwen_pretrain_path": str(qwen)} if kind == 2 else {}
    if kind == 2:
        write_qwen(qwen)
    text = written(config(kind))
    (out / ("cosyvoice.yaml" if kind == 1 else "cosyvoice2.yaml")).write_text(text, encoding="utf-8")
    parts = load_hyperpyyaml(text, overrides=overrides)
    with torch.no_grad():
        head = parts["llm"].llm_decoder
        head.weight.mul_(0.2)
        head.bias[SPEECH_TOKENS[kind] :] = UNLIKELY
        parts["hift"].conv_post.bias[: N_FFT // 2 + 1] += LOUDER
    for part in ("llm", "flow", "hift"):
        torch.save(parts[part].state_dict(), out / f"{part}.pt")
    write_speaker_encoder(out / "campplus.onnx")
    write_speech_tokenizer(out / f"speech_tokenizer_v{kind}.onnx", {1: 2, 2: 4}[kind], SPEECH_TOKENS[kind])
    if kind == 1:
        presets = {preset: {"embedding": torch.randn(1, SPEAKER_WIDTH)} for preset in PRESETS}
        torch.save(presets, out / "spk2info.pt")


def write_qwen(out: Path) -> None:
    """A language model of two layers and a tokenizer whose tokens are bytes."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: place for place, letter in enumerate(letters)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in special])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=special[0], pad_token=special[0])
    fast.save_pretrained(out)
    config = Qwen2Config(
        vocab_size=1024,
        hidden_size=WIDTH,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
    )
    Qwen2ForCausalLM(config).save_pretrained(out)


def write_speaker_encoder(out: Path) -> None:
    """Frames of a filter bank [1, T, 80] to the mean of each band, mixed [1, 192]."""
    mixed = np.random.default_rng(0).standard_normal((MELS, SPEAKER_WIDTH)).astype(np.float32)
    save(
        out,
        [
            helper.make_node("Abs", ["frames"], ["sizes"]),
            helper.make_node("ReduceMean", ["sizes"], ["mean"], axes=[1], keepdims=0),
            helper.make_node("MatMul", ["mean", "mixed"], ["speaker"]),
        ],
        {"frames": (TensorProto.FLOAT, [1, "T", MELS])},
        {"speaker": (TensorProto.FLOAT, [1, SPEAKER_WIDTH])},
        {"mixed": mixed},
    )


def write_speech_tokenizer(out: Path, stride: int, tokens: int) -> None:
    """A spectrogram [1, 128, T] of 100 frames a second to a number made of every `stride`th frame."""
    weights = np.random.default_rng(1).standard_normal((1, 128, 1)).astype(np.float32)
    save(
        out,
        [
            helper.make_node("Slice", ["feats", "start", "end", "axis", "step"], ["some"]),
            helper.make_node("Mul", ["some", "weights"], ["weighted"]),
            helper.make_node("ReduceSum", ["weighted", "bands"], ["sums"], keepdims=0),
            helper.make_node("Mul", ["sums", "scale"], ["scaled"]),
            helper.make_node("Abs", ["scaled"], ["sizes"]),
            helper.make_node("Cast", ["sizes"], ["numbers"], to=TensorProto.INT64),
            helper.make_node("Mod", ["numbers", "tokens"], ["speech"]),
            helper.make_node("Identity", ["feats_length"], ["told_length"]),
        ],
        {"feats": (TensorProto.FLOAT, [1, 128, "T"]), "feats_length": (TensorProto.INT32, [1])},
        {"speech": (TensorProto.INT64, [1, "N"]), "told_length": (TensorProto.INT32, [1])},
        {
            "start": np.array([0]),
            "end": np.array([2**31]),
            "axis": np.array([2]),
            "step": np.array([stride]),
            "bands": np.array([1]),
            "weights": weights,
            "scale": np.array(997.0, np.float32),
            "tokens": np.array(tokens),
        },
    )


Ports = dict[str, tuple[int, list[int | str]]]


def save(out: Path, nodes: list[onnx.NodeProto], takes: Ports, gives: Ports, constants: dict[str, np.ndarray]) -> None:
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(port, *shape) for port, shape in takes.items()],
        [helper.make_tensor_value_info(port, *shape) for port, shape in gives.items()],
        [numpy_helper.from_array(value, constant) for constant, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    onnx.save(model, str(out))
