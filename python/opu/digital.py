"""A matrix in memory, for comparisons and where no daemon is at hand."""

from __future__ import annotations

from typing import Any, Optional, Tuple

import numpy as np

from .errors import InputError
from .vectors import as_rows, output_array, window

MOST = 1 << 28  # complex entries of a matrix


class Digital:
    """A projector in memory: B has circular complex Gaussian entries with a mean square
    of 1, drawn from a seed by NumPy (not the numbers that the Go package draws)."""

    simulated = None
    device = "memory"

    def __init__(self, outputs: int, inputs: int, seed: int = 1):
        if outputs < 1 or inputs < 1 or outputs * inputs > MOST:
            raise InputError(f"cannot make a digital matrix of {outputs} x {inputs}: 1 to {MOST} entries fit")
        self.outputs, self.inputs = outputs, inputs
        self.epoch = f"digital-numpy-{seed}-{outputs}x{inputs}"
        parts = np.random.default_rng(seed).standard_normal((2, inputs, outputs), np.float32) * np.float32(np.sqrt(0.5))
        #: B transposed, inputs x outputs, complex64
        self.columns = parts[0] + 1j * parts[1]

    @property
    def shape(self) -> Tuple[int, int]:
        """(outputs, inputs): that of B."""
        return self.outputs, self.inputs

    def project(
        self, x: Any, out: Optional[np.ndarray] = None, *, rows: Optional[Tuple[int, int]] = None
    ) -> np.ndarray:
        """y = B x as :meth:`opu.OPU.project` has it."""
        x, single = as_rows(x, self.inputs)
        first, end = window(rows, self.outputs)
        y = output_array(out, (len(x), end - first), single, np.dtype(np.complex64))
        np.matmul(x.astype(np.complex64), self.columns[:, first:end], out=y)
        if out is not None:
            return out
        return y[0] if single else y
