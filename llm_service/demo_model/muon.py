"""Muon: momentum whose matrix updates are made nearly orthogonal.

Written from the published description (Keller Jordan, 2024, kellerjordan.github.io/posts/muon). Matrices of one shape
are handled together, which is faster on one core.
"""

import math
from collections.abc import Iterable

import torch

# Coefficients of the quintic iteration, from the description above.
A, B, C = 3.4445, -4.7750, 2.0315


class Muon:
    """Holds the momentum of a set of matrices. `step` reads their gradients."""

    def __init__(self, parameters: Iterable[torch.nn.Parameter], momentum: float = 0.95, decay: float = 0.01) -> None:
        self.momentum, self.decay = momentum, decay
        self.groups: dict[tuple[int, ...], list[torch.nn.Parameter]] = {}
        for p in parameters:
            self.groups.setdefault(tuple(p.shape), []).append(p)
        self.mean = {shape: torch.zeros(len(group), *shape) for shape, group in self.groups.items()}

    def step(self, rate: float) -> None:
        with torch.no_grad():
            self._step(rate)

    def _step(self, rate: float) -> None:
        for shape, group in self.groups.items():
            gradient, mean = torch.stack([p.grad for p in group]), self.mean[shape]
            mean.lerp_(gradient, 1 - self.momentum)
            update = orthogonal(gradient.lerp(mean, self.momentum)) * math.sqrt(max(1.0, shape[0] / shape[1]))
            for p, change in zip(group, update, strict=True):
                p.mul_(1 - rate * self.decay).sub_(change, alpha=rate)


def orthogonal(x: torch.Tensor) -> torch.Tensor:
    """Each matrix of the stack pushed towards the nearest orthogonal one: five steps on its shorter side, in bf16."""
    wide = x.shape[-2] <= x.shape[-1]
    x = (x if wide else x.mT).bfloat16()
    x = x / x.flatten(-2).norm(dim=-1).clamp_min(1e-7)[:, None, None]
    identity = torch.eye(x.shape[-2], dtype=x.dtype)
    for _ in range(5):
        gram = x @ x.mT
        x = (A * identity + B * gram + C * (gram @ gram)) @ x
    return (x if wide else x.mT).float()
