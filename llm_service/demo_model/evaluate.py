"""Ask the demo model fresh questions through the real llama.cpp server, greedily, and print the score of each intent.

Two halves: conversations from the corpus rules under a seed that training never saw (with the recogniser's errors), and
the hand-written questions of held_out.json, which are not in the corpus. Values decide, the phrases around them are
free.
Needs xllamacpp and httpx.   Run: python -m llm_service.demo_model.evaluate [MODEL.gguf] [conversations=600]
"""

import os
import re
import sys
from collections import Counter
from typing import Any

os.environ.setdefault("GGML_NO_BACKTRACE", "1")  # else a failed assertion starts a debugger; set before it loads

import httpx
import xllamacpp

from llm_service.demo_model import MODEL_PATH
from llm_service.demo_model.corpus import Corpus
from llm_service.demo_model.templates import expand, read

SEED = 4242
REFUSALS = ("demo model", "演示模型")
KEYED = {"capital", "colour", "opposite", "translate", "facts", "only", "day", "sum", "repeat", "count"}
RUN_ON = re.compile(r"(.{1,8}?)\1{4,}")  # the same few characters five times and more
SENTENCE_ENDS = re.compile(r"[.!?。！？]")


def server(path: str) -> xllamacpp.Server:
    params = xllamacpp.CommonParams()
    params.model.path, params.hostnames, params.port = path, ["127.0.0.1"], 0
    params.n_parallel, params.n_ctx, params.cache_ram_mib = 1, 1024, 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.use_jinja, params.ui, params.warmup, params.verbosity = True, False, False, 0
    return xllamacpp.Server(params)


def reply(client: httpx.Client, messages: list[dict[str, Any]]) -> str:
    plain = [{"role": m["role"], "content": m["content"]} for m in messages]
    answer = client.post("/v1/chat/completions", json={"messages": plain, "temperature": 0, "max_tokens": 250})
    return str(answer.raise_for_status().json()["choices"][0]["message"]["content"]).strip()


def bare(corpus: Corpus, text: str) -> str:
    """The answer without the persona's own opening and closing."""
    style = corpus.persona[corpus.lang]
    for phrase in style["pre"]:
        text = text.removeprefix(phrase)
    for phrase in style["post"]:
        text = text.removesuffix(phrase)
    return text.strip()


def is_right(corpus: Corpus, intent: str, turns: list[tuple[str, ...]], given: str) -> bool:
    """Whether `given` answers the last of `turns` as well as the reference does."""
    text, wanted = corpus.texts[corpus.lang], turns[-1][1]
    if any(word in wanted for word in REFUSALS):
        return any(word in given for word in REFUSALS)
    for told in (text["jokes"], text["fun"], [question for question, _ in text["riddles"]]):
        if wanted in told:
            return given in told
    if intent in ("sound", "riddle"):
        rows = text["sound"]["rows"] if intent == "sound" else text["riddles"]
        return all(value in given for row in rows for value in row if value in wanted)
    if intent in KEYED:
        return bare(corpus, wanted) in given
    if intent == "memory" and any(value in wanted for value in corpus.known.values()):
        return any(value.lower() in given.lower() for value in corpus.known.values() if value in wanted)
    if intent in ("story", "cut") or len(wanted) > 200:
        return len(SENTENCE_ENDS.findall(given)) >= min(5, len(SENTENCE_ENDS.findall(wanted)))
    if intent in text["intents"]:
        own = text["intents"][intent]
        says = [*own["say"], *own.get(corpus.persona["id"], [])]
        return given in {expand(say, corpus.random, me=corpus.me) for say in says}
    return _alike(given, wanted)


def _alike(given: str, wanted: str) -> bool:
    """Same kind of phrase: half of the reference's words (characters in Chinese) stand in the answer."""
    split = (lambda t: set(t.lower().split())) if wanted.isascii() else set
    return len(split(given) & split(wanted)) * 2 >= len(split(wanted))


def generated(client: httpx.Client, number: int) -> None:
    corpus, good, asked, wrong, run_on = Corpus(SEED), Counter[str](), Counter[str](), dict[str, str](), 0
    names = [*corpus.texts["en"]["intents"], *corpus.special]
    for index in range(number):
        corpus.begin()
        messages, intent = corpus.system(), names[index % len(names)]
        turns = corpus.special[intent]() if intent in corpus.special else corpus.simple(intent)
        for said in turns:
            messages += [{"role": "user", "content": corpus.heard(said[0])}, {"role": "assistant", "content": said[1]}]
        given = reply(client, messages[:-1])
        key = intent if intent in corpus.special else "small talk"
        asked[key] += 1
        run_on += bool(RUN_ON.search(given))
        if is_right(corpus, intent, turns, given):
            good[key] += 1
        else:
            wrong[key] = f"{intent}: {messages[-2]['content']} -> {given} (wanted: {turns[-1][1]})"
    for key in asked:
        print(f"{key:12s} {good[key]}/{asked[key]}", wrong.get(key, ""), sep="  ")
    print(f"generated {sum(good.values())}/{sum(asked.values())}, {run_on} ran on")


def asked_in_order(client: httpx.Client, prompt: str, questions: list[str]) -> str:
    """The last answer, after the model's own earlier ones."""
    messages: list[dict[str, Any]] = [{"role": "system", "content": prompt}]
    for question in questions:
        messages.append({"role": "user", "content": question})
        messages.append({"role": "assistant", "content": reply(client, messages)})
    return str(messages[-1]["content"])


def held_out(client: httpx.Client) -> None:
    asked, good = Counter[str](), Counter[str]()
    prompts = {persona["id"]: persona["prompt"] for persona in read("corpus")["personas"] if persona["prompt"]}
    table = read("held_out")
    cases = [("known", who, questions, pattern) for who, questions, pattern in table["known"]]
    for kind in ("refused", "refused later"):
        for lang, questions in table[kind].items():
            cases += [
                (f"{kind} {lang} {who}", who, [question], "|".join(REFUSALS))
                for question in questions
                for who in prompts
            ]
    for kind, who, questions, pattern in cases:
        given = asked_in_order(client, prompts[who], questions)
        asked[kind] += 1
        if re.search(pattern, given, re.S | re.I):
            good[kind] += 1
        else:
            print(f"  {kind}, {who}: {questions[-1]} -> {given}")
    for kind in asked:
        print(f"{kind:24s} {good[kind]}/{asked[kind]}")
    print(f"held out {sum(good.values())}/{sum(asked.values())}")


def main(path: str, number: int = 600) -> None:
    running = server(path)
    with httpx.Client(base_url=running.listening_address, timeout=60) as client:
        generated(client, number)
        held_out(client)
    del running


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else str(MODEL_PATH), *map(int, sys.argv[2:3]))
