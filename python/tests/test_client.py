import copy
import pickle
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import opu
from conftest import ROOT, TOKEN, Daemon
from opu.vectors import pack


def random_rows(rows, inputs, seed=1):
    return np.random.default_rng(seed).integers(-1, 2, (rows, inputs), dtype=np.int8)


def test_shape(device, daemon):
    assert device.shape == (96, 10) and device.simulated == "ideal" and device.epoch.startswith("b-")
    assert device.status()["epoch"] == device.epoch
    assert "ideal" in repr(device) and daemon.socket in repr(device)


def test_linear(device):
    """y is B x for the B that the one-hot vectors give, on a bench without noise."""
    b = device.project(np.eye(10, dtype=np.int8))
    x = random_rows(40, 10)
    y = device.project(x)
    assert y.dtype == np.complex64 and y.shape == (40, 96)
    error = np.sum(np.abs(y - x @ b) ** 2) / np.sum(np.abs(y) ** 2)
    assert error < 1e-4  # 40 dB
    assert 0.7 < np.mean(np.abs(b) ** 2) < 1.4


def test_ways_agree(device, daemon):
    """Single vectors, types, packing, windows, TCP and out give the same bits."""
    x = random_rows(21, 10, seed=2)
    x[3] = 0
    want = device.project(x)
    assert not want[3].any() and want[4].all()
    for other in (x.astype(float), x.astype(np.int64), x.tolist(), np.asfortranarray(x)):
        assert np.array_equal(device.project(other), want)
    assert np.array_equal(device.project(x[5]), want[5])
    assert np.array_equal(device.project(x, packed=True), want)
    assert np.array_equal(device.project(x, rows=(7, 20)), want[:, 7:20])
    assert np.array_equal(device.project_real(x), want.real)
    with opu.OPU(daemon.address, token=TOKEN) as remote:
        assert np.array_equal(remote.project(x), want)
        assert np.array_equal(remote.project(x, packed=True), want)
    out = np.zeros((21, 96), np.complex64)
    assert device.project(x, out) is out and np.array_equal(out, want)
    one = np.zeros(96, np.complex64)
    assert device.project(x[5], out=one) is one and np.array_equal(one, want[5])
    assert device.project(x[:0]).shape == (0, 96)
    binary = x != 0
    assert np.array_equal(device.project(binary), device.project(binary.astype(np.uint8)))
    assert np.array_equal(device.project(binary, packed=True), device.project(binary))


def test_intensity(device):
    x = random_rows(5, 10) != 0
    y, light = device.project(x), device.intensity(x)
    assert light.dtype == np.float32
    # Not the same: a pixel sees the field at a point, the demodulator that over a patch.
    assert np.corrcoef(light.ravel(), np.abs(y).ravel() ** 2)[0, 1] > 0.8
    with pytest.raises(opu.InputError, match="-1"):
        device.intensity(-1 * x)


def test_many_rows(device):
    """More rows than a request may have, from several threads."""
    x = random_rows(5000, 10) * (np.arange(5000) % 100 == 0)[:, None]  # most are zero: no exposures
    want = device.project(x[::100])
    results = [None] * 3

    def ask(i):
        results[i] = device.project(x)

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for y in results:
        assert np.array_equal(y[::100], want) and not y[1::100].any()


def test_repeat(device):
    x = random_rows(3, 10)
    assert np.allclose(device.project(x, repeat=3), device.project(x), atol=1e-2)


@pytest.mark.parametrize("x, match", [
    ([0, 0, 0, 2, 0, 0, 0, 0, 0, 0], "entry 3 of row 0"),
    (np.full((2, 10), 0.5), "entry 0 of row 0"),
    (np.array([[0] * 10, [0, float("nan")] + [0] * 8]), "entry 1 of row 1"),
    ([0] * 9, "shape"),
    (np.zeros((2, 2, 10)), "shape"),
    (np.array(["0"] * 10), "<U1"),
    (7, "shape"),
])
def test_bad_vectors(device, x, match):
    with pytest.raises(opu.InputError, match=match):
        device.project(x)


def test_bad_arguments(device):
    x = random_rows(2, 10)
    for out in (np.zeros((2, 96)), np.zeros((96, 2), np.complex64), np.zeros((2, 192), np.complex64)[:, ::2], [0]):
        with pytest.raises(opu.InputError, match="out"):
            device.project(x, out=out)
    for rows in ((5, 5), (-1, 3), (0, 97)):
        with pytest.raises(opu.InputError, match="rows"):
            device.project(x, rows=rows)
    with pytest.raises(opu.InputError, match="repeat") as e:
        device.project(x, repeat=0)
    assert e.value.code == "bad_request" and e.value.status == 400
    with pytest.raises(opu.InputError, match="lease"):
        opu.OPU(device.address, lease="ended").project(x)


def test_refusals(daemon):
    for address in ("localhost:8000", "opud.sock", "ftp://host", "http://host:port", "http://"):
        with pytest.raises(opu.InputError, match="address"):
            opu.OPU(address)
    for address in (daemon.socket + "-missing", "http://127.0.0.1:1"):
        with pytest.raises(opu.UnavailableError, match="cannot reach"):
            opu.OPU(address, patience=0)
    for token in (None, "wrong"):
        with pytest.raises(opu.UnauthorisedError, match="token") as e:
            opu.OPU(daemon.address, token=token)
        assert e.value.status == 401
    with pytest.raises(opu.InputError, match="there are"):
        opu.OPU(daemon.socket, model="other")
    with pytest.raises(opu.ProtocolError, match="complex"):
        opu.OPU(daemon.socket, model="opu-real")
    with pytest.raises(opu.OtherMatrixError):
        opu.OPU(daemon.socket, version="1")


def test_token_from_environment(daemon, monkeypatch):
    monkeypatch.setenv("OPUD_TOKEN", TOKEN)
    assert opu.OPU(daemon.address).shape == (96, 10)


def test_lease(device):
    x = random_rows(1, 10)
    other = opu.OPU(device.address, patience=0)
    with device.leased(60, "a test") as lease:
        assert device.project(x).any()
        assert opu.OPU(device.address, lease=lease).project(x).any()
        with pytest.raises(opu.UnavailableError, match="a test") as e:
            other.project(x)
        assert e.value.code == "leased"
        with pytest.raises(opu.UnavailableError):
            with other.leased():
                pass
    assert device.lease is None and other.project(x).any()


def test_copies(device):
    """A copy is the same way to the device; a pickle is pinned, and holds no token."""
    assert copy.deepcopy(device) is device
    secret = opu.OPU(device.address, token="s3cret-s3cret-s3cret")
    text = pickle.dumps(secret)
    assert b"s3cret" not in text
    again = pickle.loads(text)
    assert again.version == device.version and again.epoch == device.epoch


def test_reconnect(opud, tmp_path):
    """The same matrix is used on after a restart, another is refused, and waiting ends."""
    flags = ["-inputs=4", "-outputs=20"]
    daemon = Daemon(opud, tmp_path, "-sim=ideal", "-seed=1", *flags)
    x = random_rows(3, 4)
    device = opu.OPU(daemon.socket)
    hasty = opu.OPU(daemon.socket, patience=0)
    want = device.project(x)
    daemon.stop()
    with pytest.raises(opu.UnavailableError):
        hasty.project(x)
    result = []
    waiting = threading.Thread(target=lambda: result.append(device.project(x)))
    waiting.start()
    daemon.start()
    waiting.join()
    assert np.array_equal(result[0], want)
    assert np.array_equal(hasty.project(x), want)  # its old connection is none any more
    daemon.stop()
    daemon.command = [c if c != "-seed=1" else "-seed=2" for c in daemon.command]
    daemon.start()
    with pytest.raises(opu.OtherMatrixError) as e:
        device.project(x)
    assert e.value.code == "other_matrix"
    daemon.stop()


def test_calibration_is_waited_for(monkeypatch):
    """A daemon that says it is calibrating is waited for, however short patience is."""
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr("time.sleep", lambda s: now.__setitem__(0, now[0] + s))
    device = object.__new__(opu.OPU)

    def answer():
        if now[0] < 300:
            raise opu.UnavailableError("being calibrated (carrier)", "calibrating", 503)
        raise opu.UnavailableError("the last one was refused", "no_matrix", 503)

    device.patience = 10
    with pytest.raises(opu.UnavailableError, match="refused"):
        device._patiently(answer)
    assert 300 <= now[0] <= 311
    now[0], device.patience = 0, 0
    with pytest.raises(opu.UnavailableError, match="carrier"):
        device._patiently(answer)
    assert now[0] == 0


def test_sim_ends():
    """The daemon of OPU.sim ends with its process, even with one that is killed while
    the bench is calibrated."""
    p = subprocess.Popen(
        [sys.executable, "-c", "import opu; opu.OPU.sim('ideal', inputs=3, outputs=12)"], cwd=ROOT / "python",
    )
    children = f"/proc/{p.pid}/task/{p.pid}/children"

    def child():
        with open(children) as f:
            return f.read().split()

    (pid,) = until(child)
    until(lambda: b"opud" in cmdline(pid))
    p.kill()
    p.wait()
    until(lambda: not running(pid))


def until(condition):
    """What the condition is, once it is true."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError("it did not come to be in two minutes")


def cmdline(pid):
    with open(f"/proc/{pid}/cmdline", "rb") as f:
        return f.read()


def running(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_sim_refusals(monkeypatch):
    with pytest.raises(opu.InputError, match="presets are ideal"):
        opu.OPU.sim("perfect")
    monkeypatch.setenv("OPUD", "no-such-program")
    with pytest.raises(opu.InputError, match="go build"):
        opu.OPU.sim()


def test_pack():
    """The example of the protocol's reference, section 14.1."""
    x = np.array([[1, 0, -1, 1, 0, 0, 1, -1, 0, 1]], np.int8)
    assert pack(x).tolist() == [[[146, 64], [33, 0]]]
    assert pack(np.abs(x)).shape == (1, 1, 2)
