"""Vectors of {-1, 0, 1}: what callers give, as the wire wants it."""

from __future__ import annotations

from typing import Any, Optional, Tuple

import numpy as np

from .errors import InputError


def as_rows(x: Any, inputs: int) -> Tuple[np.ndarray, bool]:
    """x as C-contiguous int8 rows, and whether it was a single vector. InputError unless
    every entry is -1, 0 or 1."""
    x = np.asarray(x)
    if x.ndim not in (1, 2) or x.shape[-1] != inputs:
        raise InputError(
            f"cannot project an array of shape {x.shape}: a vector of {inputs} entries, or rows of them, is needed"
        )
    single = x.ndim == 1
    x = np.atleast_2d(x)
    if x.dtype == np.bool_:
        return np.ascontiguousarray(x).view(np.int8), single
    if x.dtype.kind not in "iuf":
        raise InputError(f"cannot project an array of {x.dtype}: integers, booleans or floats of -1, 0 and 1 are needed")
    if x.size and not _ternary(x):
        row, entry = np.argwhere((x != 0) & (x != 1) & (x != -1))[0]
        raise InputError(f"cannot project entry {entry} of row {row}: it is {x[row, entry]}, and must be -1, 0 or 1")
    return np.ascontiguousarray(x, dtype=np.int8), single


def _ternary(x: np.ndarray) -> bool:
    if x.dtype.kind == "f":
        return bool(((x == 0) | (x == 1) | (x == -1)).all())
    return x.max() <= 1 and x.min() >= (0 if x.dtype.kind == "u" else -1)


def window(rows: Optional[Tuple[int, int]], outputs: int) -> Tuple[int, int]:
    """(first, end) of the rows of B that are wanted."""
    first, end = (0, outputs) if rows is None else rows
    if not 0 <= first < end <= outputs:
        raise InputError(f"cannot return rows {first} to {end} (not included) of B: it has {outputs}")
    return int(first), int(end)


def output_array(out: Optional[np.ndarray], shape: Tuple[int, int], single: bool, dtype: np.dtype) -> np.ndarray:
    """The array of rows that the result goes to: a view of out, or a new one."""
    if out is None:
        return np.empty(shape, dtype)
    wanted = shape[1:] if single else shape
    if not isinstance(out, np.ndarray) or out.shape != wanted or out.dtype != dtype:
        got = f"{out.dtype} of shape {out.shape}" if isinstance(out, np.ndarray) else type(out).__name__
        raise InputError(f"cannot put the result into out: it is {got}, and must be {dtype} of shape {wanted}")
    if not out.flags.c_contiguous or not out.flags.writeable:
        raise InputError("cannot put the result into out: it must be C-contiguous and writeable")
    return out.reshape(shape)


def pack(x: np.ndarray) -> np.ndarray:
    """Rows as planes of bits, the most significant one first: plane 0 is +1, and plane 1,
    only there if it is needed, -1. Returns uint8 of shape rows x planes x ceil(inputs/8)."""
    planes = [np.packbits(x == 1, axis=1)]
    if (x < 0).any():
        planes.append(np.packbits(x == -1, axis=1))
    return np.ascontiguousarray(np.stack(planes, axis=1))
