"""Teach the demo recogniser. One process, or several of one thread each that share their gradients.

The schedule (learning rate, length of utterances, weight of the phonemes) is laid over the minutes given, so a slower
machine gives a weaker model, not a later one. With "again" what was learnt is polished: a lower rate, everything from
the beginning, and the phonemes (whose head was not kept) only lightly.
Run: RANK=0 WORLD_SIZE=2 python -m asr_service.demo_model.train WORK_FOLDER MINUTES [again]     (and RANK=1 beside it)
"""

import math
import os
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import distributed
from torch.nn import functional, utils
from torch.nn.parallel import DistributedDataParallel

from asr_service.demo_model.corpus import languages
from asr_service.demo_model.lessons import IGNORED, Batch, Lessons
from asr_service.demo_model.model import Learner
from asr_service.demo_model.recordings import load
from asr_service.demo_model.tokeniser import build

TOP_RATE, RATE_AGAIN, LAST_SHARE, WARM_UP_STEPS = 2e-3, 8e-4, 0.02, 40
SPELLING_WEIGHTS = [(0.6, 1.0), (0.9, 0.3), (1.01, 0.1)]  # until which share of the training
WEIGHT_AGAIN = 0.1
RANK, RANKS = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
ADDRESS = "tcp://127.0.0.1:29631"
REPORT_STEPS, SNAPSHOT_STEPS = 100, 500


class Training:
    def __init__(self, work: Path, minutes: float, again: bool) -> None:
        self.work, self.minutes, self.again = work, minutes, again
        self.top_rate = RATE_AGAIN if again else TOP_RATE
        tokeniser = build(work / f"tokenizer{RANK or ''}.json")
        utterances = load(work / "taught.npz")
        signs = "".join(sorted({sign for made in utterances for sign in made.phonemes}))
        self.lessons = Lessons(utterances[RANK::RANKS], languages(), tokeniser, signs, RANK + RANKS * again, again)
        self.learner = Learner(tokeniser, len(signs))
        self.done = self.seen = 0
        if again:
            kept = torch.load(work / "model.pt")
            self.learner.whisper.load_state_dict(kept["weights"])
            self.done, self.seen = kept["steps"], kept["heard"]
        self.first_step, self.first_seen = self.done, self.seen
        self.shared = DistributedDataParallel(self.learner)
        self.optimiser = torch.optim.AdamW(self.learner.parameters(), self.top_rate, (0.9, 0.98), weight_decay=0.01)
        self.figures: list[tuple[float, float, float]] = []
        self.began_s = time.monotonic()

    def run(self) -> None:
        self.learner.train()
        for batch in self.lessons.batches():
            self.lessons.progress = self.progress()
            if self.lessons.progress >= 1:
                break
            self.step(batch)
            if RANK == 0 and self.done % REPORT_STEPS == 0:
                self.report()
            if RANK == 0 and self.done % SNAPSHOT_STEPS == 0:
                self.save()
        if RANK == 0:
            self.save()

    def progress(self) -> float:
        """The first process keeps the time, so that all stop at the same step."""
        share = torch.tensor([(time.monotonic() - self.began_s) / 60 / self.minutes])
        distributed.broadcast(share, 0)
        return float(share.item())

    def step(self, batch: Batch) -> None:
        progress = self.lessons.progress
        fallen = 0.5 * (1 + math.cos(math.pi * progress)) * (1 - LAST_SHARE) + LAST_SHARE
        for group in self.optimiser.param_groups:
            group["lr"] = self.top_rate * fallen * min(1, (self.done + 1 - self.first_step) / WARM_UP_STEPS)
        with torch.autocast("cpu", torch.bfloat16):
            tokens, phonemes = self.shared(batch.mel, batch.given)
        told = functional.cross_entropy(tokens.float().flatten(0, 1), batch.wanted.flatten(), ignore_index=IGNORED)
        spelt = spelling_loss(phonemes.float(), batch.phonemes)
        weight = WEIGHT_AGAIN if self.again else next(weight for until, weight in SPELLING_WEIGHTS if progress < until)
        self.optimiser.zero_grad()
        (told + weight * spelt).backward()
        utils.clip_grad_norm_(self.learner.parameters(), 1.0)
        self.optimiser.step()
        self.done, self.seen = self.done + 1, self.seen + len(batch.mel) * RANKS
        right = ((tokens.argmax(-1) == batch.wanted) | (batch.wanted == IGNORED)).all(1).float().mean()
        self.figures.append((told.item(), spelt.item(), right.item()))

    def report(self) -> None:
        told, spelt, right = np.mean(self.figures[-REPORT_STEPS:], axis=0)
        passed_s = time.monotonic() - self.began_s
        speed = (self.seen - self.first_seen) / passed_s
        print(
            f"step {self.done}, {passed_s / 60:.1f} min, {self.seen} heard, {speed:.0f}/s: "
            f"loss {told:.3f}, phonemes {spelt:.3f}, right {right:.3f}",
            flush=True,
        )

    def save(self) -> None:
        whole = {"weights": self.learner.whisper.state_dict(), "steps": self.done, "heard": self.seen}
        torch.save(whole, self.work / "model.pt")


def spelling_loss(scores: torch.Tensor, phonemes: list[list[int]]) -> torch.Tensor:
    """CTC loss a phoneme, over the rows that have any."""
    rows = [row for row, signs in enumerate(phonemes) if signs]
    if not rows:
        return scores.sum() * 0.0
    lengths = torch.tensor([len(phonemes[row]) for row in rows])
    chances = functional.log_softmax(scores[rows], -1).transpose(0, 1)
    frames = torch.full((len(rows),), chances.shape[0])
    signs = torch.tensor([sign for row in rows for sign in phonemes[row]])
    lost = functional.ctc_loss(chances, signs, frames, lengths, reduction="sum", zero_infinity=True)
    return lost / lengths.sum()


def main(work: Path, minutes: float, again: bool) -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=ADDRESS, rank=RANK, world_size=RANKS)
    Training(work, minutes, again).run()
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]), "again" in sys.argv[3:])
