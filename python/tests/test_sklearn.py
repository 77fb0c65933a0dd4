import pickle
import sys

import numpy as np
import pytest

sklearn = pytest.importorskip("sklearn")
from sklearn.base import clone  # noqa: E402
from sklearn.exceptions import NotFittedError  # noqa: E402
from sklearn.utils.estimator_checks import parametrize_with_checks  # noqa: E402

import opu  # noqa: E402
from conftest import ROOT  # noqa: E402
from opu.sklearn import OPUMap  # noqa: E402

MEMORY = opu.Digital(40, 64)


@parametrize_with_checks([
    OPUMap(MEMORY), OPUMap(MEMORY, encoder="bits", output="real"), OPUMap(MEMORY, encoder="sign", output="complex", n_components=7),
])
def test_conventions(estimator, check):
    """What scikit-learn asks of every transformer."""
    check(estimator)


def data(samples=50, features=8, seed=1):
    return np.random.default_rng(seed).normal(size=(samples, features)) * [1, 2, 3, 4, 5, 6, 7, 8][:features] + 1


def test_by_light(device):
    """On a device the features are those of the vectors that were encoded."""
    x = data()
    for encoder in ("threshold", "sign"):
        maps = {output: OPUMap(device, encoder=encoder, output=output).fit(x) for output in ("complex", "real", "intensity")}
        (codes,) = maps["real"].encode(x)
        y = device.project(np.pad(codes, ((0, 0), (0, 2))))
        assert set(np.unique(codes)) == ({0, 1} if encoder == "threshold" else {-1, 0, 1})
        assert np.array_equal(maps["real"].transform(x), y.real)
        assert np.array_equal(maps["complex"].transform(x), y.view(np.float32))
        assert np.allclose(maps["intensity"].transform(x), np.abs(y) ** 2, rtol=1e-5, atol=1e-5)
        assert maps["complex"].get_feature_names_out().shape == (192,)


def test_bits_are_linear():
    """With bit planes the projection is B x of the quantised x, times the same factor."""
    x = data(features=8)
    m = OPUMap(MEMORY, encoder="bits", bits=8, output="complex").fit(x)
    unit = np.round((x - x.min(0)) / (x.max(0) - x.min(0)) * 255) / 255
    want = (np.pad(unit, ((0, 0), (0, 56))) @ MEMORY.columns).astype(np.complex64)
    assert np.allclose(m.transform(x).view(np.complex64), want, atol=1e-4)
    assert len(m.encode(x)) == 8
    assert np.array_equal(m.encode(x.max(0)[None] + 5)[0], np.ones((1, 8)))  # beyond the range: its end
    constant = OPUMap(MEMORY, encoder="bits").fit(np.ones((3, 2)))
    assert not constant.transform(np.ones((1, 2))).any()


def test_encoders_by_hand():
    x = np.array([[0.0, 10], [1, 20], [2, 90]])
    assert OPUMap(MEMORY).fit(x).encode(x)[0].tolist() == [[0, 0], [0, 0], [1, 1]]
    assert OPUMap(MEMORY, encoder="sign").fit(x).encode(x)[0].tolist() == [[-1, -1], [0, -1], [1, 1]]
    assert [b.tolist() for b in OPUMap(MEMORY, encoder="bits", bits=2).fit(x).encode(x)] == [[[0, 0], [1, 0], [1, 1]], [[0, 0], [0, 0], [1, 1]]]


def test_nothing_in_init(device):
    """Making one does nothing; cloning keeps the device and forgets the fit; a pickle
    finds the device again."""
    m = OPUMap("nowhere", encoder="nonsense", bits=-1)
    assert m.get_params()["bits"] == -1 and m.set_params(bits=3).bits == 3
    x = data(features=4)
    fitted = OPUMap(device, n_components=5).fit(x)
    again = clone(fitted)
    assert again.opu is device and not hasattr(again, "projector_")
    with pytest.raises(NotFittedError):
        again.transform(x)
    before = dict(vars(fitted))
    y = fitted.transform(x)
    assert vars(fitted) == before
    assert np.array_equal(pickle.loads(pickle.dumps(fitted)).transform(x), y)
    assert np.array_equal(OPUMap(device.address, n_components=5).fit(x).transform(x), y)


def test_other_matrix():
    x = data(features=4)
    m = OPUMap(opu.Digital(6, 10, seed=1)).fit(x)
    m.projector_ = opu.Digital(6, 10, seed=2)
    with pytest.raises(opu.OtherMatrixError, match="fit anew"):
        m.transform(x)


def test_refusals(device):
    x = data(features=4)
    for m, match in [
        (OPUMap(device, encoder="other"), "encoder"), (OPUMap(device, output="other"), "output"), (OPUMap(device, bits=17), "bits"),
        (OPUMap(device, dead_zone=-1), "dead zone"), (OPUMap(device, n_components=97), "components"), (OPUMap(device, n_components=0), "components"),
    ]:
        with pytest.raises(opu.InputError, match=match):
            m.fit(x)
    with pytest.raises(opu.InputError, match="inputs"):
        OPUMap(device).fit(np.ones((3, 11)))
    with pytest.raises(opu.InputError, match="-1, 0 and 1"):
        OPUMap(device, encoder="none").fit(x).transform(x)
    assert OPUMap(device, encoder="none").fit(x).transform(np.sign(x)).shape == (50, 96)


def test_example():
    """Random features beat the linear model by far, with a matrix in memory."""
    sys.path.insert(0, str(ROOT / "python" / "examples"))
    import digits_ridge

    linear, by_light, kernel = digits_ridge.compare(opu.Digital(2000, 64))
    assert by_light > linear + 0.02 and by_light > 0.95
    assert abs(by_light - kernel) < 0.02
