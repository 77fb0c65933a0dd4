import json
import os
import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

import opu  # noqa: E402
import opu.torch  # noqa: E402
from conftest import ROOT  # noqa: E402
from opu.safetensors import load_network, read  # noqa: E402


class Counting(opu.Digital):
    """A matrix that notes how it is asked."""

    def __init__(self, *args):
        super().__init__(*args)
        self.calls = []

    def project(self, x, out=None, *, rows=None):
        self.calls.append((np.array(x), rows))
        return super().project(x, out, rows=rows)


def blocks(seed=0, dtype=torch.float32):
    torch.manual_seed(seed)
    return [
        nn.Sequential(nn.Linear(6, 8), nn.Tanh()).to(dtype), nn.Sequential(nn.Linear(8, 5), nn.Tanh()).to(dtype),
        nn.Linear(5, 3).to(dtype),
    ]


def test_ternary_by_hand():
    """Strictly beyond the threshold, as the paper and the Go trainer have it."""
    t = torch.tensor(0.1)
    e = torch.stack([t, -t, torch.nextafter(t, torch.tensor(1.0)), torch.tensor(-0.2), torch.tensor(0.0)])[None]
    assert opu.torch.ternary(e, t.item()).tolist() == [[0, 0, 1, -1, 0]]
    assert opu.torch.ternary(e).dtype == torch.int8


def test_gain_by_hand():
    e = torch.tensor([[0.5, -0.2, -0.1, -0.2], [0.019, -0.01, 0.0, 0.0], [-0.4, 0.12, 0.13, 0.0]])
    q, gain = opu.torch.ternary_gain(e)
    assert q.tolist() == [[1, -1, 0, -1], [0, 0, 0, 0], [-1, 0, 1, 0]]
    assert torch.allclose(gain, torch.tensor([0.3, 0.0, 0.265]))


@pytest.mark.parametrize("error", ["ternary", "gain"])
def test_gradients_by_hand(error):
    """The gradients are those of the reference, section 11, from one projection."""
    b = Counting(9, 3, 4)
    layers = blocks()
    dfa = opu.torch.DFA(layers, b, error=error)
    torch.manual_seed(1)
    x, target = torch.randn(7, 6), torch.tensor([0, 1, 2, 0, 1, 2, 2])
    loss = dfa.backward(x, target)

    h1 = layers[0](x).detach()
    h2 = layers[1](h1).detach()
    logits = layers[2](h2).detach()
    e = logits.softmax(1) - nn.functional.one_hot(target, 3)
    if error == "gain":
        q, gain = opu.torch.ternary_gain(e)
    else:
        q, gain = opu.torch.ternary(e), torch.ones(7)
    y = (q.numpy() @ b.columns).astype(np.complex64).view(np.float32) * gain.numpy()[:, None]
    d1 = torch.from_numpy(y[:, :8]) * (1 - h1 ** 2)
    d2 = torch.from_numpy(y[:, 8:13]) * (1 - h2 ** 2)
    for layer, d, below in ((layers[0][0], d1, x), (layers[1][0], d2, h1), (layers[2], e, h2)):
        assert torch.allclose(layer.weight.grad, d.T @ below / 7, atol=1e-6)
        assert torch.allclose(layer.bias.grad, d.mean(0), atol=1e-6)
    assert torch.allclose(loss, nn.functional.cross_entropy(logits, target))
    assert len(b.calls) == 1 and b.calls[0][1] == (0, 7)  # 13 reals are 7 complex numbers


def test_zero_rows_are_not_sent():
    b = Counting(9, 3, 4)
    layers = blocks()
    with torch.no_grad():
        layers[2].weight.zero_()
        layers[2].bias.copy_(torch.tensor([9.0, 0, 0]))
    dfa = opu.torch.DFA(layers, b)
    dfa.backward(torch.randn(4, 6), torch.tensor([0, 0, 1, 0]))  # only the third is wrong
    assert b.calls[0][0].tolist() == [[1, -1, 0]] and (dfa.rows, dfa.projected) == (4, 1)
    dfa.backward(torch.randn(4, 6), torch.tensor([0, 0, 0, 0]))
    assert len(b.calls) == 1


def test_types_and_shapes():
    """Double precision, and blocks that are no vectors: convolutions."""
    dfa = opu.torch.DFA(blocks(dtype=torch.float64), opu.Digital(7, 3))
    loss = dfa.backward(torch.randn(4, 6, dtype=torch.float64), torch.tensor([0, 1, 2, 0]))
    assert loss.dtype == torch.float64 and all(p.grad.dtype == torch.float64 for p in dfa.parameters())
    images = opu.torch.DFA(
        [nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU()), nn.Sequential(nn.Flatten(), nn.Linear(2 * 16, 3))], opu.Digital(16, 3),
    )
    images.backward(torch.randn(5, 1, 6, 6), torch.tensor([0, 1, 2, 0, 1]))
    assert all(p.grad.abs().sum() > 0 for p in images.parameters())
    assert images(torch.randn(5, 1, 6, 6)).shape == (5, 3)


def test_refusals():
    for call, match in [
        (lambda: opu.torch.DFA(blocks()[:1], opu.Digital(9, 3)), "blocks"),
        (lambda: opu.torch.DFA(blocks(), opu.Digital(9, 3), error="float"), "gain"),
        (lambda: opu.torch.DFA(blocks(), opu.Digital(9, 3), threshold=1), "threshold"),
        (lambda: opu.torch.DFA(blocks(), opu.Digital(6, 3)).backward(torch.randn(2, 6), torch.tensor([0, 1])), "7 complex outputs"),
        (lambda: opu.torch.DFA(blocks(), opu.Digital(9, 4)).backward(torch.randn(2, 6), torch.tensor([0, 1])), "inputs"),
    ]:
        with pytest.raises(opu.InputError, match=match):
            call()


def spots(samples, seed):
    """Images of 8 x 8 with a bright spot in one of four quarters."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 4, samples)
    x = rng.random((samples, 8, 8)) * 0.6
    for i, quarter in enumerate(y):
        row, column = rng.integers(0, 3, 2) + [4 * (quarter // 2), 4 * (quarter % 2)]
        x[i, row:row + 2, column:column + 2] += 0.4
    return x.reshape(samples, 64).astype(np.float32), y


def test_gradients_by_light(device):
    """What light gives is what the matrix would that one-hot vectors show."""
    def gradients(projector):
        torch.manual_seed(5)
        dfa = opu.torch.DFA([nn.Sequential(nn.Linear(6, 150), nn.Tanh()), nn.Linear(150, 10)], projector, threshold=0.09)
        dfa.backward(torch.randn(30, 6), torch.arange(30) % 10)
        assert dfa.projected > 20
        return dfa.blocks[0][0].weight.grad

    known = opu.Digital(96, 10)
    known.columns = device.project(np.eye(10))
    light, matrix = gradients(device), gradients(known)
    assert (light - matrix).norm() < 0.02 * matrix.norm()


def test_learns():
    """Hidden layers that learn by feedback beat those that stay as they were."""
    digits = pytest.importorskip("sklearn.datasets").load_digits()
    x = torch.from_numpy(((digits.data - digits.data.mean()) / digits.data.std()).astype(np.float32))
    y = torch.from_numpy(digits.target.astype(np.int64))
    accuracy = {}
    for frozen in (False, True):
        torch.manual_seed(0)
        hidden = [nn.Sequential(nn.Linear(a, 96), nn.Tanh()) for a in (64, 96)]
        dfa = opu.torch.DFA([*hidden, nn.Linear(96, 10)], opu.Digital(96, 10), error="gain")
        optimiser = torch.optim.Adam(dfa.blocks[-1].parameters() if frozen else dfa.parameters(), lr=0.01)
        for _ in range(6):
            for rows in torch.randperm(1400).split(64):
                optimiser.zero_grad()
                dfa.backward(x[rows], y[rows])
                optimiser.step()
        accuracy[frozen] = (dfa(x[1400:]).argmax(1) == y[1400:]).float().mean().item()
    assert accuracy[False] > accuracy[True] + 0.02, accuracy


def test_example(daemon, tmp_path):
    """The example runs, with a small network, on images that are none of MNIST's."""
    for part, samples in (("train", 300), ("t10k", 40)):
        y = np.arange(samples) % 10
        x = np.random.default_rng(1).integers(0, 256, (samples, 28, 28))
        for name, a in (("images-idx3", x), ("labels-idx1", y)):
            head = bytes([0, 0, 8, a.ndim]) + np.array(a.shape, ">i4").tobytes()
            (tmp_path / f"{part}-{name}-ubyte").write_bytes(head + a.astype(np.uint8).tobytes())
    example = [sys.executable, ROOT / "python" / "examples" / "mnist_dfa.py", "--data", tmp_path, "--epochs", "1", "--batch", "100"]
    out = subprocess.run([*example, "--address", daemon.socket, "--layers", "96,96"], env=dict(os.environ, PYTHONPATH=str(ROOT / "python")), check=True, stdout=subprocess.PIPE, text=True).stdout
    assert "OPU 96 x 10" in out and "epoch 1 of 1" in out and "of 300 rows" in out


def spots(samples, seed):
    """Images of 8 x 8 with a bright spot in one of four quarters."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 4, samples)
    x = rng.random((samples, 8, 8)) * 0.6
    for i, quarter in enumerate(y):
        row, column = rng.integers(0, 3, 2) + [4 * (quarter // 2), 4 * (quarter % 2)]
        x[i, row:row + 2, column:column + 2] += 0.4
    return x.reshape(samples, 64).astype(np.float32), y


@pytest.fixture(scope="module")
def trained(programs, tmp_path_factory):
    """A network that the Go trainer trained, its data and what opuctl finds."""
    folder = tmp_path_factory.mktemp("trained")
    for suffix, (x, y) in {"": spots(1500, 4), "_test": spots(800, 5)}.items():
        np.save(folder / f"x{suffix}.npy", x)
        np.save(folder / f"y{suffix}.npy", y)

    def opuctl(*args):
        return json.loads(subprocess.run([programs / "opuctl", *args, "--format", "json"], check=True, stdout=subprocess.PIPE).stdout)

    opuctl("train", "--data", folder, "--feedback", "ternary", "--epochs", "8", "--batch", "50", "--layers", "40,30", "--out", folder / "out")
    network = folder / "out" / "network.safetensors"
    result = opuctl("infer", "--model", network, "--data", folder, "--predictions", folder / "classes.npy")
    return network, np.load(folder / "x_test.npy"), np.load(folder / "classes.npy"), result


def test_go_network(trained):
    """PyTorch and NumPy find the classes that opuctl finds, every one."""
    path, x, classes, result = trained
    module = opu.torch.load(path)
    with torch.no_grad():
        logits = module(torch.from_numpy(x))
    assert np.array_equal(logits.argmax(1).numpy(), classes)
    network = load_network(path)
    assert np.array_equal(network.predict(x), classes)
    assert np.allclose(network.logits(x), logits.numpy(), atol=1e-5)
    assert network.provenance["layers"] == [40, 30] and module.provenance == network.provenance
    assert result["test_accuracy"] > 0.5 and len(classes) == 800


def test_damaged_networks(trained, tmp_path):
    good = trained[0].read_bytes()
    bad = tmp_path / "bad.safetensors"
    length = int.from_bytes(good[:8], "little")

    def header(text):
        return len(text).to_bytes(8, "little") + text

    flipped = bytearray(good)
    flipped[-5] ^= 1
    for content in [
        b"", good[:7], good[:-1], good + b"x", bytes(flipped), header(b"[]"), header(b"{"), header(b"[" * 9000), header(b"{}"),
        b"\xff" * 8 + good[8:], header(b'{"a":{"dtype":"F16","shape":[1],"data_offsets":[0,2]}}') + b"xx",
        header(b'{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,-4]}}'), header(b'{"a":{"dtype":"F32","shape":2,"data_offsets":[0,8]}}'),
        header(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}') + b"x" * 8,
        good.replace(b'"activation', b'"activatiom', 1), good[:8 + length // 2],
    ]:
        bad.write_bytes(content)
        with pytest.raises(opu.InputError, match="bad.safetensors"):
            load_network(bad)
    rng = np.random.default_rng(7)
    for _ in range(300):  # a byte anywhere in the header: refused or unharmed, never another exception
        content = bytearray(good)
        content[rng.integers(0, 8 + length)] = rng.integers(0, 256)
        bad.write_bytes(content)
        try:
            assert np.array_equal(load_network(bad).predict(trained[1]), trained[2])
        except opu.InputError:
            pass


def test_plain_safetensors(tmp_path):
    """Tensors of any safetensors file of floats, with padding and without metadata."""
    text = json.dumps({"b": {"dtype": "F32", "shape": [2, 1], "data_offsets": [4, 12]}, "a": {"dtype": "F32", "shape": [], "data_offsets": [0, 4]}})
    text = text.encode() + b"   "
    path = tmp_path / "plain.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + np.array([1, 2, 3], "<f4").tobytes())
    metadata, tensors = read(path)
    assert metadata == {} and tensors["a"] == 1 and tensors["b"].tolist() == [[2], [3]]
