"""An OPU that a daemon (opud) serves."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from typing import Any, Callable, Dict, Iterator, Optional, Tuple, TypeVar

import numpy as np

from ._http import Server
from .errors import OPUError, OtherMatrixError, ProtocolError, UnavailableError
from .vectors import as_rows, output_array, pack, window

__all__ = ["OPU"]

_T = TypeVar("_T")

MOST_RESPONSE = 8 << 20  # bytes of results that are asked for at a time
MOST_HEADER = 1 << 20  # bytes of the JSON before them
FIRST_PAUSE, LAST_PAUSE = 0.05, 1.0  # seconds between attempts
HEADER_LENGTH = "Inference-Header-Content-Length"


class OPU:
    """A remote OPU: y = B x for a fixed random complex matrix B, computed by light.

    ``address`` is a socket's path, ``unix:///path``, ``http://host:port`` or
    ``https://host:port``; without one it is the socket of the user's own daemon, else
    that of the machine's. ``token`` is asked for on TCP; without one it is taken from
    the environment variable ``OPUD_TOKEN``.

    The object is pinned to one matrix: the one that was served when it was made, or the
    one whose ``version`` is given. When the daemon comes back with another, every call
    raises :class:`OtherMatrixError`; what was learnt on one matrix is worth nothing on
    the next.

    ``lease`` is the id of a lease that the caller holds. A daemon that cannot be
    reached, is busy or restarting is waited for, ``patience`` seconds (0: not at all);
    one that says it is calibrating, until it is done.
    ``timeout`` is how many seconds may pass without a byte of an answer before it is
    given up as lost (UnavailableError, after the attempts that patience allows).
    ``model`` is the name of the model with complex outputs.

    Methods may be called by several threads at once; projections of several go to the
    daemon side by side. It is a context manager; ``close`` closes its connections.
    """

    outputs: int  #: rows of B
    inputs: int  #: columns of B
    version: str  #: of the model: names the matrix, for the argument of this name
    epoch: str  #: the matrix's name as the device gives it
    device: str  #: what the projections come from
    simulated: Optional[str]  #: preset of the simulated bench, None where there is light

    def __init__(
        self,
        address: Optional[str] = None,
        token: Optional[str] = None,
        version: Optional[str] = None,
        lease: Optional[str] = None,
        *,
        model: str = "opu",
        patience: float = 30.0,
        timeout: float = 300.0,
    ):
        self._server = Server(address, os.environ.get("OPUD_TOKEN") if token is None else token, timeout)
        self.model, self.lease, self.patience, self.timeout = model, lease, patience, timeout
        self._on_close: Callable[[], Any] = lambda: None
        about = self._patiently(lambda: self._server.json("GET", self._path(model, version)))
        config = self._patiently(lambda: self._server.json("GET", f"/v2/models/{model}/config"))
        try:
            (self.version,) = about["versions"]
            ((name, rows, inputs),) = [(t["name"], *t["shape"]) for t in about["inputs"]]
            ((name_y, rows_y, outputs, parts),) = [(t["name"], *t["shape"]) for t in about["outputs"]]
            if (name, rows, name_y, rows_y, parts) != ("x", -1, "y", -1, 2) or inputs < 1 or outputs < 1:
                raise ValueError
            self.inputs, self.outputs = inputs, outputs
            properties = about["properties"]
            self.epoch, self.device = properties["epoch"], properties.get("device", "")
            self.simulated = properties.get("simulated")
            self._batch = int(config["max_batch_size"])
        except (KeyError, TypeError, ValueError) as e:
            raise ProtocolError(f"cannot use model {model} of {self.address}: it is not one with complex outputs: {about}") from e

    @classmethod
    def sim(
        cls,
        preset: str = "good",
        inputs: int = 10,
        outputs: int = 1024,
        seed: int = 1,
        *,
        program: Optional[str] = None,
        patience: float = 30.0,
    ) -> "OPU":
        """Starts a private daemon with a simulated bench, and returns an OPU on it.

        ``close``, the end of the ``with`` block and the end of this process, however it
        comes, stop the daemon. The program is ``program``, else ``$OPUD``, else ``opud``
        on the PATH. Presets: ideal (no noise), good (about 30 dB), noisy, ... It blocks
        until the bench is calibrated: seconds, more for many outputs.
        """
        from .bench import Bench

        bench = Bench(preset, inputs, outputs, seed, program)
        try:
            opu = cls(bench.socket, patience=patience)
        except BaseException:
            bench.stop()
            raise
        opu._on_close = bench.stop
        return opu

    # What it is.

    @property
    def address(self) -> str:
        """Where the daemon is."""
        return self._server.address

    @property
    def shape(self) -> Tuple[int, int]:
        """(outputs, inputs): that of B."""
        return self.outputs, self.inputs

    def __repr__(self) -> str:
        kind = f', simulated bench "{self.simulated}"' if self.simulated else ""
        return f"<OPU {self.outputs} x {self.inputs} at {self.address}, epoch {self.epoch}{kind}>"

    def status(self) -> Dict[str, Any]:
        """How the device is: health, statistics, lease and more."""
        return self._patiently(lambda: self._server.json("GET", "/opu/v1/status"))

    # What it does.

    def project(
        self, x: Any, out: Optional[np.ndarray] = None, *, rows: Optional[Tuple[int, int]] = None, repeat: int = 1,
        packed: Optional[bool] = None,
    ) -> np.ndarray:
        """y = B x, complex64.

        ``x`` is a vector of ``inputs`` entries or an array of such rows, each entry -1, 0
        or 1 in any numeric type (or False and True). y has as many rows, of ``outputs``
        numbers; B is scaled so that the mean of abs(B)^2 is 1. A row of zeros gives exact
        zeros and costs no exposure.

        ``out``, if given, is filled and returned: C-contiguous complex64 of the result's
        shape. ``rows=(first, end)`` asks for these rows of B only. ``repeat`` averages
        that many exposures. ``packed`` sends bits instead of bytes, without a difference
        in the result; by default where the daemon is on another machine.

        Blocks until the daemon has answered. On an error ``out`` may hold some of the
        results, and none must be used.
        """
        return self._ask("", np.dtype("<c8"), x, out, rows, repeat, packed)

    def project_real(
        self, x: Any, out: Optional[np.ndarray] = None, *, rows: Optional[Tuple[int, int]] = None, repeat: int = 1,
        packed: Optional[bool] = None,
    ) -> np.ndarray:
        """Re(B x), float32: half the bytes of :meth:`project`, which see."""
        return self._ask("-real", np.dtype("<f4"), x, out, rows, repeat, packed)

    def intensity(
        self, x: Any, out: Optional[np.ndarray] = None, *, rows: Optional[Tuple[int, int]] = None, repeat: int = 1,
        packed: Optional[bool] = None,
    ) -> np.ndarray:
        """abs(B x)^2 as the camera sees it without the reference beam, float32; entries of
        x are 0 or 1. B has the law of the one of :meth:`project` and not its entries: a
        pixel sees the field at a point, the demodulator that over a patch. InputError
        where the rig cannot shut its reference beam off. Otherwise as :meth:`project`."""
        return self._ask("-intensity", np.dtype("<f4"), x, out, rows, repeat, packed)

    @contextlib.contextmanager
    def leased(self, seconds: float = 60.0, who: str = "") -> Iterator[str]:
        """Has the device for itself inside the ``with`` block, for ``seconds`` at most.
        Others are refused meanwhile. Yields the id of the lease."""
        wanted: Dict[str, Any] = {"seconds": seconds}
        if who:
            wanted["who"] = who
        lease = self._patiently(lambda: self._server.json("POST", "/opu/v1/leases", wanted))["id"]
        before, self.lease = self.lease, lease
        try:
            yield lease
        finally:
            self.lease = before
            with contextlib.suppress(OPUError):  # it has ended by itself, or will
                self._server.json("DELETE", "/opu/v1/leases/" + lease)

    # How it ends, and is copied.

    def close(self) -> None:
        """Closes the connections, and stops the daemon that :meth:`sim` started."""
        self._server.close()
        self._on_close()

    def __enter__(self) -> "OPU":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def __copy__(self) -> "OPU":
        return self  # it is a way to a device, and copying it makes no second one

    def __deepcopy__(self, _: Any) -> "OPU":
        return self

    def __reduce__(self) -> Any:
        """A pickle names the daemon and the matrix, and holds no token (see ``OPUD_TOKEN``)."""
        return _again, (self.address, self.version, self.model, self.patience, self.timeout)

    # How it is done.

    def _path(self, model: str, version: Optional[str]) -> str:
        return f"/v2/models/{model}" + (f"/versions/{version}" if version else "")

    def _patiently(self, attempt: Callable[[], _T]) -> _T:
        """Tries until it works, fails for good, or patience ends."""
        deadline = time.monotonic() + self.patience
        pause = FIRST_PAUSE
        while True:
            try:
                return attempt()
            except UnavailableError as e:
                if e.code == "calibrating" and self.patience > 0:
                    deadline = time.monotonic() + max(self.patience, pause)
                if time.monotonic() + pause > deadline:
                    raise
            time.sleep(pause)
            pause = min(2 * pause, LAST_PAUSE)

    def _ask(
        self, kind: str, dtype: np.dtype, x: Any, out: Optional[np.ndarray], rows: Optional[Tuple[int, int]],
        repeat: int, packed: Optional[bool],
    ) -> np.ndarray:
        x, single = as_rows(x, self.inputs)
        first, end = window(rows, self.outputs)
        y = output_array(out, (len(x), end - first), single, dtype.newbyteorder("="))
        if packed is None:
            packed = not self._server.local
        parameters: Dict[str, Any] = {"binary_data_output": True}
        if (first, end) != (0, self.outputs):
            parameters.update(row_start=first, row_count=end - first)
        if repeat != 1:
            parameters["repeat"] = int(repeat)
        most = max(1, min(self._batch, MOST_RESPONSE // (dtype.itemsize * (end - first))))
        for at in range(0, len(x), most):
            part = x[at:at + most]
            tensor = pack(part) if packed else part
            model = self.model + kind + ("-packed" if packed else "")
            self._patiently(lambda: self._infer(model, tensor, packed, y[at:at + most], parameters))
        if sys.byteorder == "big":
            y.byteswap(inplace=True)
        if out is not None:
            return out
        return y[0] if single else y

    def _infer(self, model: str, x: np.ndarray, packed: bool, y: np.ndarray, parameters: Dict[str, Any]) -> None:
        """Sends one request and reads its result into y."""
        if self.lease:
            parameters = dict(parameters, lease=self.lease)
        name, datatype = ("x_bits", "UINT8") if packed else ("x", "INT8")
        head = json.dumps({
            "parameters": parameters,
            "inputs": [{"name": name, "shape": x.shape, "datatype": datatype, "parameters": {"binary_data_size": x.nbytes}}],
        }).encode()
        headers = {HEADER_LENGTH: str(len(head)), "Content-Type": "application/octet-stream"}
        path = self._path(model, self.version) + "/infer"
        with self._server.request("POST", path, (head, memoryview(x).cast("B")), headers) as response:
            length = response.getheader(HEADER_LENGTH, "")
            if not length.isdigit() or int(length) > MOST_HEADER:
                raise ProtocolError(f"cannot read the result: its {HEADER_LENGTH} is {length[:20]!r}")
            self._check(response.read(int(length)), y)
            buffer = memoryview(y).cast("B")
            while len(buffer):
                n = response.readinto(buffer)
                if n == 0:
                    raise UnavailableError(f"cannot read the result: it ended {len(buffer)} bytes early")
                buffer = buffer[n:]
            if response.read(1):
                raise ProtocolError("cannot read the result: it goes on after its end")

    def _check(self, head: bytes, y: np.ndarray) -> None:
        """Sees that a response is what was asked for, and of the pinned matrix."""
        try:
            answer = json.loads(head)
            version = answer["model_version"]
            (tensor,) = answer["outputs"]
            about = (tensor["name"], tensor["datatype"], tensor["shape"], tensor["parameters"]["binary_data_size"])
        except (KeyError, TypeError, ValueError) as e:
            raise ProtocolError(f"cannot read the result: {e!r} in {head[:300]!r}") from e
        if version != self.version:
            raise OtherMatrixError(f"cannot use the result: it is of version {version}, version {self.version} is pinned")
        shape = list(y.shape) + ([2] if y.dtype.kind == "c" else [])
        if about != ("y", "FP32", shape, y.nbytes):
            raise ProtocolError(f"cannot read the result: {about} is not the {shape} that were asked for")


def _again(address: str, version: str, model: str, patience: float, timeout: float) -> OPU:
    return OPU(address, version=version, model=model, patience=patience, timeout=timeout)
