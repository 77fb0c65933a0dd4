"""A private daemon with a simulated bench."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
import weakref
from typing import Optional

from ._http import Server
from .errors import DeviceError, InputError, UnavailableError

CALIBRATION = 600.0  # seconds that a bench may take until it serves
END = 20.0  # seconds that a daemon may take to end


def find_program(program: Optional[str]) -> str:
    """The path of opud."""
    wanted = program or os.environ.get("OPUD") or "opud"
    found = shutil.which(wanted)
    if found is None:
        raise InputError(
            f"cannot start a simulated bench: there is no program {wanted!r}. Build it in the opu repository with "
            "`go build -o ~/bin/opud ./cmd/opud`, and put it on the PATH or name it with the environment variable OPUD"
        )
    return found


class Bench:
    """A running ``opud -sim``, which listens on a socket in a folder of its own."""

    def __init__(self, preset: str, inputs: int, outputs: int, seed: int, program: Optional[str]):
        program = find_program(program)
        folder = tempfile.mkdtemp(prefix="opu-")
        self.socket = os.path.join(folder, "opud.sock")
        self._log = os.path.join(folder, "opud.log")
        try:
            with open(self._log, "wb") as log:
                # It ends with its standard input, that is at the latest with this process.
                self._process = subprocess.Popen(
                    [program, "-until-eof", f"-sim={preset}", f"-inputs={inputs}", f"-outputs={outputs}",
                     f"-seed={seed}", f"-socket={self.socket}", "-http=none"],
                    stdin=subprocess.PIPE, stdout=log, stderr=log,
                    env={k: v for k, v in os.environ.items() if not k.startswith("OPUD_")},
                    start_new_session=True,  # Ctrl-C is for this process, which then stops the daemon
                )
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self._end = weakref.finalize(self, _stop, self._process, folder)
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise

    def _wait(self) -> None:
        """Waits until the bench is calibrated and served."""
        server = Server(self.socket, None, timeout=1.0)
        deadline = time.monotonic() + CALIBRATION
        while True:
            try:
                server.json("GET", "/v2/health/ready")
                return server.close()
            except UnavailableError:
                code = self._process.poll()
                self._refused(server)
            if code is not None:
                kind = InputError if code == 2 else DeviceError
                raise kind(f"cannot start a simulated bench: opud ended with code {code}: {self._last_words()}")
            if time.monotonic() > deadline:
                raise DeviceError(f"cannot start a simulated bench: it is not ready after {CALIBRATION:g} s: {self._last_words()}")
            time.sleep(0.05)

    def _refused(self, server: Server) -> None:
        """Fails if the calibration is over and was not good: then nothing is waited for."""
        try:
            status = server.json("GET", "/opu/v1/status")
        except UnavailableError:
            return
        if not status["ready"] and status["job"] is None and status["errors"]:
            raise DeviceError(f"cannot start a simulated bench: {status['reason']}")

    def _last_words(self) -> str:
        with open(self._log, errors="replace") as log:
            return " | ".join(log.read().strip().splitlines()[-3:]) or "it said nothing"

    def stop(self) -> None:
        """Ends the daemon. It may be called again."""
        self._end()

    @property
    def pid(self) -> int:
        """The daemon's."""
        return self._process.pid


def _stop(process: "subprocess.Popen[bytes]", folder: str) -> None:
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(END)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    shutil.rmtree(folder, ignore_errors=True)
