"""How the encoder runs on this machine, and why so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import onnxruntime

from models.processors import WITH_INT8_PRODUCTS, instructions, processor_share


@dataclass(frozen=True)
class Runtime:
    """A way to run the encoder.

    Attributes:
        name: the library and its version.
        precision: of weights and activations in the products.
        instructions: that the processor has for such products.
        threads: windows that run at the same time, or threads of one window that runs alone.
        reason: why so.
        entries: settings of the library.
    """

    name: str
    precision: str
    instructions: str
    threads: int
    reason: str
    entries: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.name}, {self.precision} on {self.instructions}, {self.threads} threads: {self.reason}"


def choose_runtime(threads: int | None = None, found: str | None = None) -> Runtime:
    """The runtime for this processor.

    Args:
        threads: all processors of this process if not given.
        found: instructions of the processor; looked up if not given.
    """
    found = found or instructions()
    if found in WITH_INT8_PRODUCTS:
        entries, reason = {}, "the processor sums products of bytes in one instruction"
    else:
        # Sums of products of unsigned and signed bytes would overflow in 16 bits.
        entries, reason = {"session.x64quantprecision": "1"}, "the processor sums products of bytes in several steps"
    return Runtime(
        name=f"onnxruntime {onnxruntime.__version__}",
        precision="int8",
        instructions=found,
        threads=threads or processor_share(),
        reason=f"{reason}; the threads are {'given' if threads else 'the share of processors of this process'}",
        entries=entries,
    )
