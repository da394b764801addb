"""Train the demo model on the corpus, one core, bf16, in five stages of a fixed number of steps.

Steps, not minutes, end the run, so that two runs are alike. In each stage the learning rate warms up, stays, and falls;
a cut run is therefore worse than a short one. The second stage asks more for what the person said before and mixes
known words into strange questions. The third does both with many more names and shapes of questions, at one rate, and
the last two go on with these texts, with more weight on what decides: told words and the first token of a reply. The
loss counts the assistant's text alone, without replies that were broken off in the history.
Run: python -m llm_service.demo_model.train WORK      (needs WORK/tokenizer.json, writes WORK/model.pt)
"""

import random
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tokenizers import Encoding, Tokenizer
from torch import nn
from torch.nn import functional

from llm_service.demo_model.corpus import samples
from llm_service.demo_model.last import last_samples
from llm_service.demo_model.model import CONFIG, LONGEST, Model
from llm_service.demo_model.muon import Muon
from llm_service.demo_model.templates import read

BATCH_TOKENS, POOL = 2560, 1024
RATE, MUON_RATE, WARM_STEPS, LAST_RATE = 3e-3, 0.02, 100, 0.02
START, END, PADDING = 1, 2, 0
SNAPSHOT_STEPS = 250
EXACT_WEIGHT = 8.0
Row = tuple[list[int], list[float]]
Source = Iterator[list[dict[str, Any]]]


def encode(tokeniser: Tokenizer, messages: list[dict[str, Any]]) -> Row:
    """ChatML ids and the weight of each in the loss."""
    ids: list[int] = []
    weights: list[float] = []
    newline = tokeniser.encode("\n").ids
    for m in messages:
        head = [START, *tokeniser.encode(m["role"] + "\n").ids]
        said = tokeniser.encode(m["content"])
        ids += [*head, *said.ids, END, *newline]
        weights += [0.0] * len(head) + weights_of(said, m) + [0.0] * len(newline)
    return ids, weights


def weights_of(said: Encoding, message: dict[str, Any]) -> list[float]:
    """What each token of a message and its end count in the loss.

    Where the corpus points at told words, these and what follows them count more; where it points at nothing in a
    reply, the first token does, since it decides what kind of reply comes.
    """
    learnt = message.get("value", 1.0) if message["role"] == "assistant" and not message.get("cut") else 0.0
    if "exact" not in message:
        return [learnt] * (len(said.ids) + 1)
    first = message["content"].find(message["exact"])
    last = first + len(message["exact"])
    return [learnt * (EXACT_WEIGHT if a <= last and b > first else 1.0) for a, b in said.offsets] + [learnt]


def pad(rows: list[Row]) -> tuple[torch.Tensor, torch.Tensor]:
    length = max(len(ids) for ids, _ in rows)
    ids, weights = torch.full((len(rows), length), PADDING), torch.zeros(len(rows), length)
    for index, (i, w) in enumerate(rows):
        ids[index, : len(i)], weights[index, : len(w)] = torch.tensor(i), torch.tensor(w)
    return ids, weights


def batches(tokeniser: Tokenizer, source: Source, seed: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Endless batches of rows of similar length, fresh conversations all the time."""
    order = random.Random(seed)
    while True:
        pool = [encode(tokeniser, next(source)) for _ in range(POOL)]
        pool = sorted((row for row in pool if len(row[0]) <= LONGEST), key=lambda row: len(row[0]) + order.random() * 4)
        groups: list[list[Row]] = [[]]
        for row in pool:
            if groups[-1] and len(row[0]) * (len(groups[-1]) + 1) > BATCH_TOKENS:
                groups.append([])
            groups[-1].append(row)
        order.shuffle(groups)
        yield from map(pad, groups)


def loss_of(model: Model, ids: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    hidden, target, weight = model(ids[:, :-1]), ids[:, 1:].reshape(-1), weights[:, 1:].reshape(-1)
    used = weight > 0
    logits = model.logits(hidden.reshape(-1, hidden.shape[-1])[used]).float()
    return (functional.cross_entropy(logits, target[used], reduction="none") * weight[used]).sum() / weight.sum()


def held_out_loss(model: Model, rows: list[Row]) -> float:
    """Mean loss on assistant tokens alone."""
    with torch.no_grad():
        losses = []
        for start in range(0, len(rows), 8):
            ids, weights = pad(rows[start : start + 8])
            losses.append(loss_of(model, ids, (weights > 0).float()).item())
    return sum(losses) / len(losses)


@dataclass(frozen=True)
class Stage:
    """A part of the training: its steps, its share of the full rate, between which steps that falls, and its texts."""

    steps: int
    share: float
    fall_from: int
    fall_to: int
    texts: Callable[[int], Source]

    def rate_at(self, step: int) -> float:
        """The share of the full learning rate: warm-up, plateau, then a straight fall."""
        left = min(1.0, (self.fall_to - step) / (self.fall_to - self.fall_from))
        return self.share * min(1.0, (step + 1) / WARM_STEPS) * (LAST_RATE + (1 - LAST_RATE) * left)


STAGES = (
    Stage(steps=4000, share=1.0, fall_from=2550, fall_to=4250, texts=samples),
    Stage(steps=1250, share=0.6, fall_from=300, fall_to=1250, texts=partial(samples, focused=True)),
    Stage(steps=750, share=0.4, fall_from=750, fall_to=751, texts=last_samples),
    Stage(steps=1250, share=0.4, fall_from=150, fall_to=2100, texts=partial(last_samples, pointed=True)),
    Stage(steps=1200, share=0.25, fall_from=200, fall_to=1400, texts=partial(last_samples, pointed=True)),
)


class Optimiser:
    """Muon for the inner matrices, AdamW for the embedding and the norms."""

    def __init__(self, model: Model) -> None:
        named = list(model.named_parameters())
        inner = [p for name, p in named if p.dim() == 2 and not name.startswith("emb")]
        rest = [p for name, p in named if p.dim() < 2 or name.startswith("emb")]
        self.muon = Muon(inner)
        self.adam = torch.optim.AdamW(rest, lr=RATE, betas=(0.9, 0.95), weight_decay=0.0, fused=True)

    def step(self, share: float) -> None:
        for group in self.adam.param_groups:
            group["lr"] = RATE * share
        self.adam.step()
        self.muon.step(MUON_RATE * share)


class Training:
    """One model on its way through the stages."""

    def __init__(self, work: Path) -> None:
        self.work, self.seed, self.seen, self.done = work, read("corpus")["seed"], 0, 0
        self.tokeniser, self.model = Tokenizer.from_file(str(work / "tokenizer.json")), Model()
        strangers = samples(self.seed + 1)
        self.held_out = [encode(self.tokeniser, next(strangers)) for _ in range(120)]

    def run(self, stage: Stage, seed: int) -> None:
        """Take every step of a stage on fresh texts with a fresh optimiser."""
        optimiser, data = Optimiser(self.model), batches(self.tokeniser, stage.texts(seed), seed)
        began, first, mean = time.monotonic(), self.seen, 0.0
        for step in range(stage.steps):
            loss = self.step(optimiser, next(data), stage.rate_at(step))
            mean = loss if step == 0 else 0.98 * mean + 0.02 * loss
            if step % 25 == 24:
                speed = (self.seen - first) / (time.monotonic() - began)
                print(f"step {self.done} {self.seen / 1e6:.2f} M tokens {speed:.0f}/s loss {mean:.4f}", flush=True)
            if step % SNAPSHOT_STEPS == SNAPSHOT_STEPS - 1 or step + 1 == stage.steps:
                self.save()

    def step(self, optimiser: Optimiser, batch: tuple[torch.Tensor, torch.Tensor], share: float) -> float:
        with torch.autocast("cpu", torch.bfloat16):
            loss = loss_of(self.model, *batch)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        optimiser.step(share)
        self.model.zero_grad(set_to_none=True)
        self.seen, self.done = self.seen + batch[0].numel(), self.done + 1
        return float(loss.item())

    def save(self) -> None:
        print(f"  held out {held_out_loss(self.model, self.held_out):.4f}", flush=True)
        origin = {"seed": self.seed, "steps": self.done, "tokens": self.seen}
        torch.save({"config": CONFIG, "weights": self.model.state_dict()} | origin, self.work / "model.pt")


def main(work: Path) -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    training = Training(work)
    for index, stage in enumerate(STAGES):
        training.run(stage, training.seed + 2 * index)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
