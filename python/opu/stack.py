"""Several OPUs as one with more rows, and the manifest that names them."""

from __future__ import annotations

import hashlib
import json
import os
import re
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from .client import OPU
from .errors import InputError, OPUError, OtherMatrixError
from .vectors import as_rows, output_array, window

MOST_MANIFEST = 1 << 20  # bytes
MOST_SCALE = 1e15  # its square fits 32 bits, as does that of 1 over it
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
_KEYS = ("url", "model", "version", "epoch", "rows", "scale")


class Part(NamedTuple):
    """What one OPU gives: its outputs 0 to end-first-1, times scale, are the rows first
    to end-1 of the stacked matrix."""

    opu: Any
    first: int
    end: int
    scale: float


class Stack:
    """OPUs whose rows stand one below the other: a matrix with more outputs. They are
    asked side by side, and a failure of any fails the call.

        stack = opu.Stack([opu.OPU(left), opu.OPU(right)])
        stack.save("both.json")            # and later, or elsewhere
        stack = opu.Stack.open("both.json")

    A manifest is refused unless everything in it is as it says.
    """

    def __init__(self, opus: Sequence[Any], scales: Optional[Sequence[float]] = None):
        opus = list(opus)
        scales = [1.0] * len(opus) if scales is None else [float(s) for s in scales]
        if not opus or len(scales) != len(opus):
            raise InputError(f"cannot stack {len(opus)} OPUs with {len(scales)} scales: one of each at least, and as many")
        parts, first = [], 0
        for opu, scale in zip(opus, scales):
            parts.append(Part(opu, first, first + opu.outputs, scale))
            first += opu.outputs
        self._set(parts)
        self._opened = False

    def _set(self, parts: List[Part]) -> None:
        for i, part in enumerate(parts):
            if part.opu.inputs != parts[0].opu.inputs:
                raise InputError(f"cannot stack part {i}: it has {part.opu.inputs} inputs, part 0 has {parts[0].opu.inputs}")
            if not _is_scale(part.scale):
                raise InputError(f"cannot stack part {i}: its scale is {part.scale}, and must be {_SCALES}")
            twins = [j for j in range(i) if parts[j].opu.epoch == part.opu.epoch]
            if twins:
                raise InputError(f"cannot stack part {i}: it is the matrix of part {twins[0]}, so both would give the same rows")
        self.parts = parts
        self.inputs, self.outputs = parts[0].opu.inputs, parts[-1].end
        self.epoch = _epoch(parts)
        self.device = "; ".join(part.opu.device for part in parts)
        self.simulated = next((part.opu.simulated for part in parts if part.opu.simulated), None)
        self._threads = ThreadPoolExecutor(len(parts), "opu-stack")

    @classmethod
    def open(cls, manifest: Union[str, "os.PathLike[str]", Dict[str, Any]], token: Optional[str] = None) -> "Stack":
        """The stack that a manifest (a file, or what is in it) names; ``token`` is for the
        parts on TCP. InputError about the manifest, OtherMatrixError where a part has
        another matrix now, naming the part."""
        if not isinstance(manifest, dict):
            with open(manifest, "rb") as f:
                text = f.read(MOST_MANIFEST + 1)
            manifest = _parse(text)
        entries = _check(manifest)
        stack, parts = cls.__new__(cls), []
        try:
            for i, e in enumerate(entries):
                try:
                    opu = OPU(e["url"], token, e["version"], model=e["model"])
                except OtherMatrixError as error:
                    raise OtherMatrixError(f"cannot use part {i} of the stack, {e['url']}: {error}", error.code, error.status)
                first, end = e["rows"]
                parts.append(Part(opu, first, end, float(e["scale"])))
                if opu.epoch != e["epoch"]:
                    raise OtherMatrixError(f"cannot use part {i} of the stack, {e['url']}: its epoch is {opu.epoch}, the manifest says {e['epoch']}")
                if opu.outputs < end - first:
                    raise InputError(f"cannot use part {i} of the stack, {e['url']}: it has {opu.outputs} outputs, the manifest wants {end - first}")
            stack._set(parts)
            stack._opened = True
        except BaseException:
            for part in parts:
                part.opu.close()
            raise
        return stack

    def manifest(self) -> Dict[str, Any]:
        """What names this stack, as JSON has it."""
        return {"stack": 1, "parts": [
            {"url": p.opu.address, "model": p.opu.model, "version": p.opu.version, "epoch": p.opu.epoch,
             "rows": [p.first, p.end], "scale": p.scale}
            for p in self.parts
        ]}

    def save(self, path: Union[str, "os.PathLike[str]"]) -> None:
        """Writes the manifest, old or new, never half."""
        temporary = f"{os.fspath(path)}.{os.getpid()}.tmp"
        try:
            with open(temporary, "w", encoding="utf-8") as f:
                json.dump(self.manifest(), f, indent=2)
                f.write("\n")
                f.flush()
                os.fsync(f.fileno())
            os.replace(temporary, path)
        except BaseException:
            if os.path.exists(temporary):
                os.unlink(temporary)
            raise

    @property
    def shape(self) -> Tuple[int, int]:
        """(outputs, inputs): that of the stacked matrix."""
        return self.outputs, self.inputs

    def project(
        self, x: Any, out: Optional[np.ndarray] = None, *, rows: Optional[Tuple[int, int]] = None
    ) -> np.ndarray:
        """y = B x as :meth:`opu.OPU.project` has it; ``rows`` are those of the stacked matrix."""
        x, single = as_rows(x, self.inputs)
        first, end = window(rows, self.outputs)
        y = output_array(out, (len(x), end - first), single, np.dtype(np.complex64))

        def ask(part: Part) -> None:
            a, b = max(first, part.first), min(end, part.end)
            if a >= b:
                return
            try:
                got = part.opu.project(x, rows=(a - part.first, b - part.first))
            except OPUError as e:
                raise type(e)(f"cannot use part {self.parts.index(part)} of the stack, {part.opu}: {e}", e.code, e.status) from e
            # Scaled as reals: a complex product would add zeros of the wrong sign.
            np.multiply(got.view(np.float32), np.float32(part.scale), out=y[:, a - first:b - first].view(np.float32))

        for done in [self._threads.submit(ask, part) for part in self.parts]:
            done.result()
        if out is not None:
            return out
        return y[0] if single else y

    def close(self) -> None:
        """Closes the parts, if :meth:`open` opened them; else they are the caller's."""
        self._threads.shutdown()
        if self._opened:
            for part in self.parts:
                part.opu.close()

    def __enter__(self) -> "Stack":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def __deepcopy__(self, _: Any) -> "Stack":
        return self

    def __repr__(self) -> str:
        return f"<Stack {self.outputs} x {self.inputs} of {len(self.parts)} OPUs>"


_SCALES = f"a number from {1 / MOST_SCALE:g} to {MOST_SCALE:g} or its negative"


def _is_scale(scale: float) -> bool:
    return 1 / MOST_SCALE <= abs(scale) <= MOST_SCALE


def _epoch(parts: Sequence[Part]) -> str:
    """The name of the stacked matrix, the same as the Go client's: a hash of all that
    makes it."""
    h = hashlib.sha256()
    for p in parts:
        version = getattr(p.opu, "version", "")
        h.update(f"{json.dumps(version)} {json.dumps(p.opu.epoch)} [{p.first} {p.end}] {_shortest(p.scale)}\n".encode())
    return "s-" + h.hexdigest()[:16]


def _shortest(x: float) -> str:
    """The shortest text of a number, as Go's %g writes it."""
    d = Decimal(repr(x)).normalize()
    exponent = d.adjusted()
    if -4 <= exponent < 6:
        return format(d, "f")
    mantissa = format(d.scaleb(-exponent), "f")
    return f"{mantissa}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"


def _parse(text: bytes) -> Dict[str, Any]:
    def unique(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
        d = dict(pairs)
        if len(d) != len(pairs):
            raise ValueError("a key is there twice")
        return d

    if len(text) > MOST_MANIFEST:
        raise InputError(f"cannot read the manifest: it is longer than {MOST_MANIFEST} bytes")
    try:
        value = json.loads(text, object_pairs_hook=unique)
        if not isinstance(value, dict):
            raise ValueError("it is no JSON object")
        return value
    except (ValueError, RecursionError) as e:
        raise InputError(f"cannot read the manifest: {e}") from e


def _check(manifest: Dict[str, Any]) -> List[Dict[str, Any]]:
    """The parts of a manifest that is well-formed."""
    if manifest.get("stack") != 1 or isinstance(manifest.get("stack"), bool):
        raise InputError(f"cannot read the manifest: its format (\"stack\") is {manifest.get('stack')!r}, this program reads 1")
    parts = manifest.get("parts")
    if set(manifest) != {"stack", "parts"} or not isinstance(parts, list) or not parts:
        raise InputError("cannot read the manifest: it must have \"stack\" and a list of \"parts\", and nothing else")
    first = 0
    for i, part in enumerate(parts):
        if not isinstance(part, dict) or set(part) != set(_KEYS):
            raise InputError(f"cannot read part {i} of the manifest: it must have {', '.join(_KEYS)}, and nothing else")
        for key in ("url", "model", "version", "epoch"):
            if not isinstance(part[key], str) or not part[key]:
                raise InputError(f"cannot read part {i} of the manifest: its {key} is {part[key]!r}, and must be a text")
        rows, scale = part["rows"], part["scale"]
        if not (isinstance(rows, list) and len(rows) == 2 and all(type(r) is int for r in rows) and rows[0] == first < rows[1]):
            raise InputError(f"cannot read part {i} of the manifest: its rows are {rows!r}, and must be [{first}, end] after the part before")
        if type(scale) not in (int, float) or not _is_scale(scale):
            raise InputError(f"cannot read part {i} of the manifest: its scale is {scale!r}, and must be {_SCALES}")
        if not _NAME.match(part["model"]) or not _NAME.match(part["version"]):
            raise InputError(f"cannot read part {i} of the manifest: model and version must be names of letters, digits, '.', '_' and '-'")
        first = rows[1]
    return parts
