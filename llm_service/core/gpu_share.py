"""Decide how many layers of a model fit in a share of a GPU's memory.

Only numbers: never asks a device. A layer is counted as its part of the whole file, with the memory of its context, so
that what is not in any layer is counted too, and the answer is rather too small.
Laws: what is put on the GPU never costs more than the budget, as far as it is counted; more memory never means fewer
layers.
"""


def layers_that_fit(
    layers: int, model_bytes: int, context_bytes_per_layer: int, budget_bytes: int, working_bytes: int = 0
) -> int:
    """Layers to put on the GPU, of `layers`; one more than these means the output too, when all of it fits.

    `working_bytes`: what a step needs besides, as soon as one layer is there.
    """
    if layers < 1:
        return 0
    per_layer = -(-model_bytes // layers) + context_bytes_per_layer
    fit = max(0, budget_bytes - working_bytes) // max(1, per_layer)
    return layers + 1 if fit >= layers else fit


def budget_of(share: float, total_bytes: int, free_bytes: int) -> int:
    """The share of the device's memory, or what others leave of it."""
    return min(int(share * total_bytes), free_bytes)
