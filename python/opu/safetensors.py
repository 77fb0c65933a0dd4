"""Networks that opuctl trained: safetensors files of 32-bit floats, read with NumPy alone.

The layout is the public one of safetensors (8 bytes length, a JSON header, the data), the
content that of docs/reference/files.md: ``layers.N.weight`` [out, in], ``layers.N.bias``,
and metadata with provenance, scaling of the inputs and a checksum.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import struct
from typing import Any, Dict, List, NamedTuple, Tuple, Union

import numpy as np

from .errors import InputError

MOST_HEADER = 16 << 20  # bytes
FORMAT = "opu-model 1"


class Network(NamedTuple):
    """A trained dense network: logits = W_L act(... act(W_0 (x - mean)/std + b_0) ...) + b_L."""

    weights: List[np.ndarray]  #: float32, out x in, first layer first
    biases: List[np.ndarray]  #: float32
    activation: str  #: tanh, relu, sigmoid or linear
    mean: float  #: of the inputs, as the data set has them
    std: float
    provenance: Dict[str, Any]  #: settings, data set, epoch of B, accuracy

    def logits(self, x: Any) -> np.ndarray:
        """What the network makes of samples x features, as float32."""
        act = ACTIVATIONS[self.activation]
        h = (np.asarray(x, np.float32) - np.float32(self.mean)) * np.float32(1 / self.std)
        last = len(self.weights) - 1
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases)):
            h = h @ weight.T + bias
            if i < last:
                h = act(h)
        return h

    def predict(self, x: Any) -> np.ndarray:
        """The class of each sample."""
        return self.logits(x).argmax(axis=1)


ACTIVATIONS = {
    "tanh": np.tanh,
    "relu": lambda a: np.maximum(a, 0),
    "sigmoid": lambda a: 1 / (1 + np.exp(-a)),
    "linear": lambda a: a,
}


def read(path: Union[str, "os.PathLike[str]"]) -> Tuple[Dict[str, str], Dict[str, np.ndarray]]:
    """The metadata and the tensors of a file, in the order of their data. InputError for
    what is none, or holds other types than F32."""
    def bad(text: str) -> InputError:
        return InputError(f"cannot read {os.fspath(path)}: {text}")

    with open(path, "rb") as f:
        content = f.read()
    if len(content) < 8:
        raise bad("it is too short for a header")
    (length,) = struct.unpack_from("<Q", content)
    if length > MOST_HEADER or 8 + length > len(content):
        raise bad(f"it claims a header of {length} bytes")
    try:
        header = json.loads(content[8:8 + length])
        metadata = header.pop("__metadata__", {})
        entries = sorted((*e["data_offsets"], name, e["dtype"], e["shape"]) for name, e in header.items())
        for begin, end, name, dtype, shape in entries:
            if dtype != "F32" or min(shape, default=0) < 0 or end - begin != 4 * math.prod(shape):
                raise bad(f"tensor {name!r} is {dtype} of shape {shape} in {end - begin} bytes; F32 is read")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as e:
        raise e if isinstance(e, InputError) else bad(f"its header is wrong: {e!r}") from e
    at, tensors = 0, {}
    for begin, end, name, _, shape in entries:
        if begin != at or 8 + length + end > len(content):
            raise bad(f"tensor {name!r} lies at {begin} to {end}")
        at = end
        tensors[name] = np.frombuffer(content, "<f4", math.prod(shape), 8 + length + begin).reshape(shape).astype(np.float32)
    if 8 + length + at != len(content):
        raise bad("there is data behind its last tensor")
    return metadata, tensors


def load_network(path: Union[str, "os.PathLike[str]"]) -> Network:
    """The network in a file that opuctl train wrote. InputError for anything else, a
    wrong checksum included."""
    metadata, tensors = read(path)

    def bad(text: str) -> InputError:
        return InputError(f"cannot load the network {os.fspath(path)}: {text}")

    if metadata.get("format") != FORMAT:
        raise bad(f"its format is {metadata.get('format')!r}, this program reads {FORMAT!r}")
    if _checksum(metadata, tensors) != metadata.get("sha256"):
        raise bad("its checksum is wrong")
    try:
        provenance = json.loads(metadata["provenance"])
        activation = provenance["activation"]
        mean, std = float(metadata["input_mean"]), float(metadata["input_std"])
        layers = len(tensors) // 2
        weights = [tensors[f"layers.{i}.weight"] for i in range(layers)]
        biases = [tensors[f"layers.{i}.bias"] for i in range(layers)]
    except (ValueError, TypeError, KeyError) as e:
        raise bad(f"it is not complete: {e!r}") from e
    if activation not in ACTIVATIONS:
        raise bad(f"its activation is {activation!r}; {', '.join(ACTIVATIONS)} are known")
    below = None
    for weight, bias in zip(weights, biases):
        if weight.ndim != 2 or bias.shape != weight.shape[:1] or below not in (None, weight.shape[1]):
            raise bad(f"weights of {weight.shape} and biases of {bias.shape} do not fit the layer below")
        below = weight.shape[0]
    return Network(weights, biases, activation, mean, std, provenance)


def _checksum(metadata: Dict[str, str], tensors: Dict[str, np.ndarray]) -> str:
    """That of the Go package dfa: over metadata, names, shapes and data."""
    h = hashlib.sha256()
    for key in sorted(metadata):
        if key != "sha256":
            h.update(f"{_quoted(key)}: {_quoted(metadata[key])}\n".encode())
    for name, t in tensors.items():
        h.update(f"{_quoted(name)}: [{' '.join(map(str, t.shape))}]\n".encode())
        h.update(t.astype("<f4").tobytes())
    return h.hexdigest()


def _quoted(s: str) -> str:
    """Go's quoting of a text, for the characters that our files have."""
    return json.dumps(s, ensure_ascii=False)
