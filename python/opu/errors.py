"""What can go wrong, as classes that callers tell apart."""

from __future__ import annotations

from typing import Optional


class OPUError(Exception):
    """Base of all errors of this package.

    ``code`` is the server's word for it, where the server said no (``"busy"``,
    ``"other_matrix"``, ...); programs may rely on it, the text is for people.
    ``status`` is the HTTP status that came with it.
    """

    def __init__(self, text: str, code: Optional[str] = None, status: Optional[int] = None):
        super().__init__(text)
        self.code = code
        self.status = status


class InputError(OPUError, ValueError):
    """Bad input, found here or by the server before anything was shown."""


class OtherMatrixError(OPUError):
    """The matrix is another than the pinned one, or lost: fit or train anew."""


class UnauthorisedError(OPUError):
    """The token is missing or wrong."""


class UnavailableError(OPUError):
    """The OPU cannot be reached, is busy or leased, and was for as long as ``patience``."""


class DeviceError(OPUError):
    """The device or the daemon failed; the next request may succeed."""


class ProtocolError(OPUError):
    """What answers is no daemon of an OPU, or of another version."""


def of_response(status: int, error: str, code: Optional[str]) -> OPUError:
    """The error of a response whose status is not 200."""
    if code in ("other_matrix", "matrix_lost"):
        kind = OtherMatrixError
    elif status == 503:
        kind = UnavailableError
    elif status in (401, 403):
        kind = UnauthorisedError
    elif 400 <= status < 500 or status == 501:
        kind = InputError
    elif status == 500:
        kind = DeviceError
    else:
        kind = ProtocolError
    return kind(f"the server says (status {status}): {error}", code, status)
