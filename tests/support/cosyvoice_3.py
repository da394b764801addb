"""Stands in for the classes of CosyVoice 3, with the protocol of its generators and the ways in which they go wrong.

A prompt is a path. A text has a token for each character, the mark of the end of a prompt is one token, and where it is
missing the language model raises. Each token of a text is said by `TOKENS_A_CHAR` tokens of speech, each of those by 40
ms of a tone. The size of a block grows from request to request.
"""

import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

END_OF_PROMPT = "<|endofprompt|>"
END_TOKEN = 151_646
TOKENS_A_CHAR = 20
TOKEN_SAMPLES = 960
RATE = 24_000
POLL_S = 0.1
NO_TOKENS = torch.zeros(1, 0, dtype=torch.int32)


class Encoder(torch.nn.Module):  # type: ignore[misc]
    """The part of the language model that is stepped, with the mask of the new tokens alone, as the classes do it."""

    def __init__(self) -> None:
        super().__init__()
        config = Qwen2Config(64, 32, 64, 2, 2, 2)
        self.model = Qwen2ForCausalLM(config).eval()

    def forward_one_step(self, xs: Any, masks: Any, cache: Any = None) -> tuple[Any, Any]:
        made = self.model(
            inputs_embeds=xs,
            attention_mask=masks[:, -1, :],
            output_hidden_states=True,
            return_dict=True,
            use_cache=True,
            past_key_values=cache,
        )
        return made.hidden_states[-1], made.past_key_values


class LanguageModel(torch.nn.Module):  # type: ignore[misc]
    """Draws tokens of speech for the text behind its prompt."""

    def __init__(self) -> None:
        super().__init__()
        self.llm = Encoder()
        self.seen: list[tuple[str, int]] = []  # of each request: its text with its prompt, and tokens of prompt speech

    def inference(self, text: Any, prompt_text: Any, prompt_speech_token: Any, **_: Any) -> Iterator[int]:
        whole = torch.cat([prompt_text, text], dim=1)[0].tolist()
        assert END_TOKEN in whole, "no end of a prompt"
        said = "".join(END_OF_PROMPT if token == END_TOKEN else chr(token) for token in whole)
        self.seen.append((said, prompt_speech_token.shape[1]))
        yield from range(TOKENS_A_CHAR * text.shape[1])


class Model:
    """Runs the language model on a thread, and makes sound of what it has drawn."""

    def __init__(self) -> None:
        self.llm = LanguageModel()
        self.flow = SimpleNamespace(token_mel_ratio=2, pre_lookahead_len=3)
        self.token_hop_len = 25
        self.lock = threading.Lock()
        self.tts_speech_token_dict: dict[str, list[int]] = {}
        self.llm_end_dict: dict[str, bool] = {}
        self.hift_cache_dict: dict[str, Any] = {}

    def llm_job(self, text: Any, prompt_text: Any, speech: Any, _embedding: Any, key: str) -> None:
        for token in self.llm.inference(text=text, prompt_text=prompt_text, prompt_speech_token=speech, uuid=key):
            self.tts_speech_token_dict[key].append(token)
        self.llm_end_dict[key] = True

    def token2wav(self, count: int) -> Any:
        return torch.sin(torch.arange(count * TOKEN_SAMPLES) / 10)[None] / 2

    def tts(
        self, text: Any, prompt_text: Any = NO_TOKENS, llm_prompt_speech_token: Any = NO_TOKENS, **_: Any
    ) -> Iterator[dict[str, Any]]:
        key, offset = str(uuid.uuid1()), 0
        self.tts_speech_token_dict[key], self.llm_end_dict[key], self.hift_cache_dict[key] = [], False, None
        given = (text, prompt_text, llm_prompt_speech_token, None, key)
        thread = threading.Thread(target=self.llm_job, args=given)
        thread.start()
        while True:
            time.sleep(POLL_S)
            hop = self.token_hop_len
            ready = len(self.tts_speech_token_dict[key]) - offset
            if ready >= hop + self.flow.pre_lookahead_len:
                sound = self.token2wav(hop)
                offset, self.token_hop_len = offset + hop, min(100, 2 * hop)
                yield {"tts_speech": sound}
            elif self.llm_end_dict[key]:
                break
        thread.join()
        yield {"tts_speech": self.token2wav(len(self.tts_speech_token_dict[key]) - offset)}
        for table in (self.tts_speech_token_dict, self.llm_end_dict, self.hift_cache_dict):
            table.pop(key)


class Frontend:
    """Texts and recordings to tokens."""

    def __init__(self) -> None:
        self.spk2info: dict[str, dict[str, Any]] = {}
        self.device = torch.device("cpu")
        self.text_frontend = ""  # it has none

    def text_normalize(self, text: str, split: bool = True, text_frontend: bool = True) -> Any:
        return [text] if split else text

    def _extract_text_token(self, text: str) -> tuple[Any, Any]:
        head, mark, tail = text.partition(END_OF_PROMPT)
        tokens = [*map(ord, head), *([END_TOKEN] if mark else []), *map(ord, tail)]
        return torch.tensor([tokens], dtype=torch.int32), torch.tensor([len(tokens)], dtype=torch.int32)


class CosyVoice3:
    """The object that a service holds."""

    def __init__(
        self,
        model_dir: str,
        load_trt: bool = False,
        load_vllm: bool = False,
        fp16: bool = False,
        trt_concurrent: int = 1,
    ) -> None:
        assert (Path(model_dir) / "cosyvoice3.yaml").is_file()
        self.sample_rate = RATE
        self.frontend, self.model = Frontend(), Model()

    def list_available_spks(self) -> list[str]:
        return list(self.frontend.spk2info)

    def add_zero_shot_spk(self, prompt_text: str, prompt_wav: str, zero_shot_spk_id: str) -> bool:
        tokens, count = self.frontend._extract_text_token(prompt_text)
        speech = torch.arange(len(Path(prompt_wav).read_bytes()) // 1_280, dtype=torch.int32)[None]
        length = torch.tensor([speech.shape[1]], dtype=torch.int32)
        self.frontend.spk2info[zero_shot_spk_id] = {
            "prompt_text": tokens,
            "prompt_text_len": count,
            "llm_prompt_speech_token": speech,
            "llm_prompt_speech_token_len": length,
            "flow_prompt_speech_token": speech,
            "flow_prompt_speech_token_len": length,
            "prompt_speech_feat": torch.zeros(1, 2 * speech.shape[1], 80),
            "prompt_speech_feat_len": 2 * length,
            "llm_embedding": torch.zeros(1, 192),
            "flow_embedding": torch.zeros(1, 192),
        }
        return True

    def inference_zero_shot(
        self, tts_text: str, prompt_text: str, prompt_wav: str, zero_shot_spk_id: str = "", stream: bool = False
    ) -> Iterator[dict[str, Any]]:
        assert stream
        assert not prompt_text
        assert not prompt_wav
        for part in self.frontend.text_normalize(tts_text):
            given = self.frontend.spk2info[zero_shot_spk_id]
            given["text"], given["text_len"] = self.frontend._extract_text_token(part)  # it keeps them in the entry
            yield from self.model.tts(**given)
