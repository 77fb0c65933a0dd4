"""Optical processing units (OPU) from Python: y = B x, by light.

    import numpy as np, opu

    with opu.OPU() as device:                # the daemon of this machine
        y = device.project(np.eye(device.inputs, dtype=np.int8))   # complex64

    with opu.OPU.sim(inputs=10, outputs=1024) as device:           # no optics at hand?
        y = device.project([1, 0, 0, -1, 0, 1, 0, 0, 0, 0])

A daemon (opud) owns the device; :class:`OPU` is a way to it, over a Unix socket or TCP.
:class:`Digital` is a matrix in memory with the same interface, :class:`Stack` several
OPUs as one with more rows. ``opu.sklearn`` has a transformer for scikit-learn,
``opu.torch`` direct feedback alignment for PyTorch; they are imported by name, so that
NumPy alone is needed here. ``opu.safetensors`` reads networks that opuctl trained.
"""

from .client import OPU
from .digital import Digital
from .errors import (
    DeviceError,
    InputError,
    OPUError,
    OtherMatrixError,
    ProtocolError,
    UnauthorisedError,
    UnavailableError,
)
from .stack import Stack

__version__ = "0.1.0"

__all__ = [
    "OPU",
    "DeviceError",
    "Digital",
    "InputError",
    "OPUError",
    "OtherMatrixError",
    "ProtocolError",
    "Stack",
    "UnauthorisedError",
    "UnavailableError",
]
