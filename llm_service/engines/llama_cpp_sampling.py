"""How the tokens of a reply are chosen: llama.cpp's own samplers, in the order and with the defaults of its server.

Grammars are of our own writing alone: what the library makes of a schema has no bounds, and it fetches what a schema
refers to.
"""

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import llama_cpp

from llm_service.core.json_grammar import JsonGrammar
from llm_service.core.literal_grammar import literal
from llm_service.core.tool_markup import TAIL, head
from llm_service.engines.llama_cpp_batch import NotOffered, NotTaken
from llm_service.engines.llama_cpp_model import Model

_RANDOM_SEED = 0xFFFFFFFF
_REMEMBERED = 64  # tokens in which a repetition counts
_MOST_CALLS = 16  # of one forced answer


def grammar_of(schema: object = None, is_strict: bool = False) -> str:
    """The grammar of the texts that a JSON schema describes, of any JSON object without one.

    `is_strict`: the schema is kept to in full, or refused; else as far as a grammar can. Raises NotTaken.
    """
    written = JsonGrammar()
    rule = "json-object" if schema is None else written.rule_of(schema)
    if rule is None or (is_strict and written.loose):
        raise NotOffered("The JSON schema cannot be kept to.", "response_format")
    return f"root ::= {rule}\n{written.text()}"


def call_grammar(tools: Mapping[str, Mapping[str, object]], is_several: bool, is_strict: bool = False) -> str:
    """The grammar of a call of one of these functions, by name and schema of its arguments, or of several calls.

    `is_strict`: each schema is kept to in full, or refused; else as far as a grammar can. Raises NotTaken.
    """
    written = JsonGrammar()
    calls = []
    for name, schema in tools.items():
        rule = written.rule_of(schema, also={"type": "object"})
        if rule is None or (is_strict and written.loose):
            raise NotOffered("The JSON schema of a tool's parameters cannot be kept to.", "tools")
        calls.append(f"{literal(head(name))} {rule} {literal(TAIL)}")
    more = f" ({literal(chr(10))} call){{0,{_MOST_CALLS - 1}}}" if is_several else ""
    return "\n".join([f"root ::= call{more}", f"call ::= {' | '.join(calls)}", written.text()])


@dataclass(frozen=True, slots=True)
class Sampling:
    """What a request may set. `grammar` is in GBNF, its start is `root`."""

    temperature: float = 0.8
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.05
    repeat_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    seed: int | None = None
    grammar: str | None = None

    @property
    def penalises(self) -> bool:
        """Whether tokens that came before matter."""
        return (self.repeat_penalty, self.presence_penalty, self.frequency_penalty) != (1.0, 0.0, 0.0)


class Chain:
    """The samplers of one reply. `bind` it to a context before the first choice; raises NotTaken."""

    def __init__(self, model: Model, sampling: Sampling, prompt: Sequence[int]) -> None:
        params = llama_cpp.llama_sampler_chain_default_params()
        self._handle = llama_cpp.llama_sampler_chain_init(params)
        self._context: object = None
        if sampling.grammar is not None:
            self._add_grammar(model, sampling.grammar)
        if sampling.penalises:
            self._add_penalties(model, sampling, prompt)
        for sampler in _choosers(sampling):
            llama_cpp.llama_sampler_chain_add(self._handle, sampler)

    def bind(self, context: object) -> "Chain":
        """The context whose scores are looked at."""
        self._context = context
        return self

    def choose(self, place: int) -> int:
        """A token by the scores at this place of the last batch."""
        return int(llama_cpp.llama_sampler_sample(self._handle, self._context, place))

    def free(self) -> None:
        """Give everything back; once."""
        llama_cpp.llama_sampler_free(self._handle)

    def _add_grammar(self, model: Model, grammar: str) -> None:
        sampler = llama_cpp.llama_sampler_init_grammar(model.vocab, grammar.encode(), b"root")
        if not sampler:
            self.free()
            raise NotTaken("The grammar cannot be kept to.")
        llama_cpp.llama_sampler_chain_add(self._handle, sampler)

    def _add_penalties(self, model: Model, sampling: Sampling, prompt: Sequence[int]) -> None:
        sampler = llama_cpp.llama_sampler_init_penalties(
            model.vocab_size,
            _REMEMBERED,
            sampling.repeat_penalty,
            sampling.frequency_penalty,
            sampling.presence_penalty,
        )
        for token in prompt[-_REMEMBERED:]:
            llama_cpp.llama_sampler_accept(sampler, token)
        llama_cpp.llama_sampler_chain_add(self._handle, sampler)


def _choosers(sampling: Sampling) -> list[object]:
    if sampling.temperature <= 0:
        return [llama_cpp.llama_sampler_init_greedy()]
    seed = _RANDOM_SEED if sampling.seed is None else sampling.seed
    return [
        llama_cpp.llama_sampler_init_top_k(sampling.top_k),
        llama_cpp.llama_sampler_init_top_p(sampling.top_p, 1),
        llama_cpp.llama_sampler_init_min_p(sampling.min_p, 1),
        llama_cpp.llama_sampler_init_temp(sampling.temperature),
        llama_cpp.llama_sampler_init_dist(ctypes.c_uint32(seed).value),
    ]
