"""The demo model in torch: llama architecture, small, with the output layer tied to the embedding.

Rotary positions act on neighbouring pairs, as llama.cpp does for architecture `llama`, so the export needs no
permutation.
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional

CONFIG: dict[str, Any] = {
    "vocab": 3072,
    "d": 256,
    "layers": 4,
    "heads": 4,
    "ff": 640,
    "context": 1024,
    "theta": 10000.0,
    "eps": 1e-5,
}

LONGEST = 704  # of a training row; the context that the GGUF promises is longer, since rotary positions go on
FORBIDDEN = -1e4


class Norm(nn.Module):
    """RMS norm with a learnt scale."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.ones(d))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.rms_norm(x, (x.shape[-1],), self.w, CONFIG["eps"])


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2)


class Block(nn.Module):
    """Attention, then a gated feed-forward part, each behind a norm."""

    def __init__(self, d: int, heads: int, ff: int) -> None:
        super().__init__()
        self.heads = heads
        self.n1, self.n2 = Norm(d), Norm(d)
        self.q, self.k, self.v, self.o = (nn.Linear(d, d, bias=False) for _ in range(4))
        self.gate, self.up = nn.Linear(d, ff, bias=False), nn.Linear(d, ff, bias=False)
        self.down = nn.Linear(ff, d, bias=False)
        hidden = torch.full((LONGEST, LONGEST), FORBIDDEN).triu(1).bfloat16()
        self.register_buffer("future", hidden, persistent=False)

    def forward(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        x = x + self.attend(self.n1(x), cos, sin)
        y = self.n2(x)
        return x + self.down(functional.silu(self.gate(y)) * self.up(y))

    def attend(self, y: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        batch, length, d = y.shape
        q, k, v = (
            part(y).view(batch, length, self.heads, d // self.heads).transpose(1, 2)
            for part in (self.q, self.k, self.v)
        )
        q, k = rotate(q, cos, sin).to(v.dtype), rotate(k, cos, sin).to(v.dtype)
        scores = q @ k.mT * q.shape[-1] ** -0.5 + self.future[:length, :length]
        seen = torch._softmax(scores, -1, False) @ v  # stays in bf16, which autocast's own softmax does not
        return self.o(seen.transpose(1, 2).reshape(batch, length, d))


class Model(nn.Module):
    """Token ids (batch, length) -> hidden states (batch, length, d); logits are those times the embedding."""

    def __init__(self) -> None:
        super().__init__()
        c = CONFIG
        self.emb = nn.Embedding(c["vocab"], c["d"])
        self.blocks = nn.ModuleList(Block(c["d"], c["heads"], c["ff"]) for _ in range(c["layers"]))
        self.norm = Norm(c["d"])
        for p in self.parameters():
            if p.dim() == 2:
                nn.init.normal_(p, 0, 0.04)
        head = c["d"] // c["heads"]
        angles = torch.outer(
            torch.arange(c["context"]).float(), c["theta"] ** (-torch.arange(0, head, 2).float() / head)
        )
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x, length = self.emb(ids), ids.shape[1]
        for block in self.blocks:
            x = block(x, self.cos[:length], self.sin[:length])
        return self.norm(x)

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        return functional.linear(hidden, self.emb.weight)
