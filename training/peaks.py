"""What the processors can do at most: large matrix products, the fastest that the libraries here have."""

from __future__ import annotations

from collections.abc import Callable

import torch
from transformers import BertConfig

_SIZE = 2048


def peak_products() -> dict[str, Callable[[], object]]:
    """One large product by precision, on all threads of torch; those that this torch has."""
    numbers = torch.randint(-127, 127, (_SIZE, _SIZE), generator=torch.Generator().manual_seed(0))
    bytes_, floats = numbers.to(torch.int8), numbers.float()
    short = floats.to(torch.bfloat16)
    products: dict[str, Callable[[], object]] = {
        "int8": lambda: torch._int_mm(bytes_, bytes_),
        "bf16": lambda: short @ short,
        "fp32": lambda: floats @ floats,
    }
    return {name: run for name, run in products.items() if _works(run)}


def peak_operations() -> int:
    """Operations of one such product; a multiplication with its addition counts as two."""
    return 2 * _SIZE**3


def encoder_operations(config: BertConfig, tokens: int) -> int:
    """Operations of one window of so many tokens: the matrices of all layers, and attention."""
    width, wide = config.hidden_size, config.intermediate_size
    matrices = 2 * tokens * (4 * width * width + 2 * width * wide)
    attention = 4 * tokens * tokens * width
    return int(config.num_hidden_layers * (matrices + attention))


def _works(run: Callable[[], object]) -> bool:
    try:
        run()
    except (RuntimeError, AttributeError):
        return False
    return True
