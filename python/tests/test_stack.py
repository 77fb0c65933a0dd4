import copy
import json
import subprocess

import numpy as np
import pytest

import opu
from opu.stack import _shortest


@pytest.fixture(scope="module")
def second():
    with opu.OPU.sim("ideal", inputs=10, outputs=30, seed=8) as device:
        yield device


def test_stack(device, second, tmp_path):
    """A stack is its parts, one below the other and scaled, before and after its file."""
    x = np.random.default_rng(1).integers(-1, 2, (7, 10))
    want = np.concatenate([device.project(x), second.project(x) * np.float32(0.5)], axis=1)
    stack = opu.Stack([device, second], scales=[1, 0.5])
    assert stack.shape == (126, 10) and stack.simulated == "ideal"
    assert np.array_equal(stack.project(x), want)
    assert np.array_equal(stack.project(x, rows=(90, 100)), want[:, 90:100])
    assert np.array_equal(stack.project(x[0]), want[0])
    stack.save(tmp_path / "stack.json")
    with opu.Stack.open(tmp_path / "stack.json") as again:
        out = np.empty((7, 126), np.complex64)
        assert again.project(x, out) is out and np.array_equal(out, want)
    assert [p.name for p in tmp_path.iterdir()] == ["stack.json"]


def test_go_reads_it(device, second, programs, tmp_path):
    """opuctl takes the manifest for the same stack, by the same name, to the bit."""
    x = np.random.default_rng(2).integers(-1, 2, (5, 10), dtype=np.int8)
    np.save(tmp_path / "x.npy", x)
    with opu.Stack([device, second], scales=[-2.25e7, 1 / 3]) as stack:
        stack.save(tmp_path / "stack.json")
        command = [programs / "opuctl", "project", "--url", "stack.json", "--in", "x.npy", "--out", "y.npy", "--format", "json"]
        result = json.loads(subprocess.run(command, cwd=tmp_path, check=True, stdout=subprocess.PIPE).stdout)
        assert np.array_equal(np.load(tmp_path / "y.npy"), stack.project(x))
        assert result["epoch_of_b"] == stack.epoch


def test_digital():
    b = opu.Digital(50, 6, seed=2)
    assert abs(np.mean(np.abs(b.columns) ** 2) - 1) < 0.2
    x = np.eye(6, dtype=np.int8)
    assert np.array_equal(b.project(x), b.columns) and np.array_equal(b.project(-x[2], rows=(3, 9)), -b.columns[2, 3:9])
    with pytest.raises(opu.InputError):
        opu.Digital(0, 3)


def test_refused_manifests(device, second, tmp_path):
    """Everything must be as the manifest says, and the part that is not is named."""
    good = opu.Stack([device, second]).manifest()
    opu.Stack.open(good).close()

    def changed(part=None, **change):
        m = copy.deepcopy(good)
        (m if part is None else m["parts"][part]).update(change)
        return m

    without = copy.deepcopy(good)
    del without["parts"][1]["scale"]
    for manifest, error, match in [
        (changed(stack=2), opu.InputError, "format"), (changed(stack=True), opu.InputError, "format"),
        (changed(parts=[]), opu.InputError, "parts"), (changed(more=1), opu.InputError, "nothing else"),
        (changed(1, more=1), opu.InputError, "part 1"), (without, opu.InputError, "part 1"),
        (changed(1, epoch="b-0"), opu.OtherMatrixError, "part 1.*b-0"), (changed(1, version="7"), opu.OtherMatrixError, "part 1"),
        (changed(1, rows=[96, 127]), opu.InputError, "part 1.*30 outputs"), (changed(1, rows=[95, 125]), opu.InputError, "part 1.*rows"),
        (changed(0, rows=[0, 0]), opu.InputError, "part 0"), (changed(0, rows=[0.0, 96]), opu.InputError, "part 0"),
        (changed(1, scale="1"), opu.InputError, "part 1"), (changed(1, scale=float("inf")), opu.InputError, "part 1"),
        (changed(0, url=""), opu.InputError, "part 0"), (changed(1, model=3), opu.InputError, "part 1"),
        (changed(1, model="a/b"), opu.InputError, "part 1"), (changed(1, scale=1e16), opu.InputError, "part 1"),
    ]:
        with pytest.raises(error, match=match):
            opu.Stack.open(manifest)
    path = tmp_path / "m.json"
    for text in ("", "[]", "{", json.dumps(good)[:-1] + ',"stack":1}', "[" * 100000):
        path.write_text(text)
        with pytest.raises(opu.InputError, match="manifest"):
            opu.Stack.open(path)


def test_one_fails(device, second):
    """A failure of any part fails the call."""
    with opu.OPU(second.address, lease="one that has ended") as refused:
        with pytest.raises(opu.InputError, match="part 1.*lease"):
            opu.Stack([device, refused]).project(np.ones(10))
    with pytest.raises(opu.InputError, match="inputs"):
        opu.Stack([device, opu.Digital(4, 9)])
    with pytest.raises(opu.InputError, match="same rows"):
        opu.Stack([device, opu.OPU(device.address)])
    for text in (1.0, 0.5, 1e6, 123456789.0, 1e-5, 100000.0, -2.25e12):
        assert float(_shortest(text)) == text


def test_closed(second):
    """After close the private daemon is gone, and closing again does nothing. It is the
    last test of this file."""
    bench = second._on_close.__self__
    assert bench._process.poll() is None
    second.close()
    assert bench._process.poll() == 0
    second.close()
    second.patience = 0
    with pytest.raises(opu.UnavailableError):
        second.project(np.ones(10))
