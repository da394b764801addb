"""The demo recogniser while it learns: transformers' Whisper, very small, and a phoneme head that is dropped at export.

The encoder sees windows as long as the audio, not the padded length that transformers insists on. The head on the
encoder learns the phonemes by CTC; without it so small a model on so little speech does not find the words.
"""

import torch
from tokenizers import Tokenizer
from torch import nn
from torch.nn import functional
from transformers import WhisperConfig, WhisperForConditionalGeneration

WIDTH, HEADS, ENCODER_LAYERS, DECODER_LAYERS = 128, 4, 3, 2
MEL_BINS = 80
POSITIONS = 400  # of 20 ms: windows of 8 s
LONGEST_TEXT = 448  # tokens, as Whisper has it
INITIAL_SPREAD = 0.05


def config(tokeniser: Tokenizer) -> WhisperConfig:
    end = tokeniser.token_to_id("<|endoftext|>")
    return WhisperConfig(
        vocab_size=tokeniser.get_vocab_size(),
        num_mel_bins=MEL_BINS,
        d_model=WIDTH,
        encoder_layers=ENCODER_LAYERS,
        decoder_layers=DECODER_LAYERS,
        encoder_attention_heads=HEADS,
        decoder_attention_heads=HEADS,
        encoder_ffn_dim=4 * WIDTH,
        decoder_ffn_dim=4 * WIDTH,
        max_source_positions=POSITIONS,
        max_target_positions=LONGEST_TEXT,
        init_std=INITIAL_SPREAD,
        pad_token_id=end,
        bos_token_id=end,
        eos_token_id=end,
        decoder_start_token_id=tokeniser.token_to_id("<|startoftranscript|>"),
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )


class Learner(nn.Module):
    """Whisper and the phoneme head."""

    def __init__(self, tokeniser: Tokenizer, phonemes: int) -> None:
        super().__init__()
        self.whisper = WhisperForConditionalGeneration(config(tokeniser))
        self.whisper.set_attn_implementation("eager")  # the fused kernel is slower on windows this short
        self.spelling = nn.Linear(WIDTH, phonemes + 1)  # 0 is the blank

    def forward(self, mel: torch.Tensor, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Scores of the next tokens (batch, tokens, vocabulary) and the phonemes (batch, frames / 2, phonemes + 1)."""
        encoded = self.encode(mel)
        decoder = self.whisper.model.decoder
        state = decoder(input_ids=tokens, encoder_hidden_states=encoded, use_cache=False).last_hidden_state
        return self.whisper.proj_out(state), self.spelling(encoded)

    def encode(self, mel: torch.Tensor) -> torch.Tensor:
        """(batch, 80, frames) of an even number of frames, 800 at most."""
        encoder = self.whisper.model.encoder
        state = functional.gelu(encoder.conv2(functional.gelu(encoder.conv1(mel)))).transpose(1, 2)
        state = state + encoder.embed_positions.weight[: state.shape[1]]
        for layer in encoder.layers:
            state = layer(state, None)
        return encoder.layer_norm(state)
