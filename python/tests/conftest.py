"""Every test talks to the real daemon, built from this tree, on its simulated bench."""

import os
import pathlib
import re
import subprocess
import sys
import threading

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "python"))

import opu  # noqa: E402

TOKEN = "a-token-of-these-tests"


@pytest.fixture(scope="session")
def programs(tmp_path_factory):
    """The folder with opud and opuctl."""
    folder = os.environ.get("OPU_PROGRAMS")  # built before, by whoever runs this
    if folder is None:
        folder = tmp_path_factory.mktemp("programs")
        subprocess.run(["go", "build", "-o", str(folder) + "/", "./cmd/opud", "./cmd/opuctl"], cwd=ROOT, check=True)
    return pathlib.Path(folder)


@pytest.fixture(scope="session", autouse=True)
def opud(programs):
    """The program, which OPU.sim finds by the environment variable OPUD."""
    for name in [name for name in os.environ if name.startswith("OPUD")]:
        del os.environ[name]
    os.environ["OPUD"] = str(programs / "opud")
    return os.environ["OPUD"]


class Daemon:
    """An opud with a socket and TCP that can be stopped and started again."""

    def __init__(self, program, folder, *flags):
        self.socket = str(folder / "opud.sock")
        self.command = [program, "-until-eof", "-socket", self.socket, *flags]
        self.address = None
        self.start()

    def start(self):
        http = self.address.rpartition("/")[2] if self.address else "127.0.0.1:0"
        self.process = subprocess.Popen(
            [*self.command, "-http", http], env=dict(os.environ, OPUD_TOKEN=TOKEN),
            stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        seen = []
        for line in self.process.stderr:
            seen.append(line)
            found = re.search(r"msg=serving.*tcp ([0-9.:]+)", line)
            if found:
                self.address = "http://" + found[1]
                break
        else:
            raise RuntimeError("opud does not serve: " + "".join(seen))
        threading.Thread(target=self.process.stderr.read, daemon=True).start()

    def stop(self):
        if self.process.stdin is not None and not self.process.stdin.closed:
            self.process.stdin.close()
        self.process.wait(60)


@pytest.fixture(scope="session")
def daemon(opud, tmp_path_factory):
    """A daemon on the ideal bench: 10 inputs, 96 outputs."""
    d = Daemon(opud, tmp_path_factory.mktemp("opud"), "-sim=ideal", "-inputs=10", "-outputs=96", "-seed=3")
    yield d
    d.stop()


@pytest.fixture(scope="session")
def device(daemon):
    """An OPU on that daemon."""
    with opu.OPU(daemon.socket) as device:
        yield device
