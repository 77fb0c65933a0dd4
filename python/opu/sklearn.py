"""Random features by light, as a transformer for scikit-learn.

    features = opu.sklearn.OPUMap(device, encoder="threshold", output="intensity")
    model = make_pipeline(features, StandardScaler(), RidgeClassifier())
    model.fit(images, labels)

An OPU takes vectors of -1, 0 and 1. ``fit`` learns an encoder that makes them of real
numbers; ``transform`` projects what the encoder makes. Inputs that are fewer than the
OPU's are followed by zeros: the first columns of B.
"""

from __future__ import annotations

from typing import Any, List, Optional

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from .client import OPU
from .errors import InputError, OtherMatrixError

try:
    from sklearn.utils.validation import validate_data
except ImportError:  # before scikit-learn 1.6 it is a method
    validate_data = None

__all__ = ["OPUMap"]

ENCODERS = ("threshold", "bits", "sign", "none")
OUTPUTS = ("complex", "real", "intensity")


class OPUMap(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Projects samples by light.

    Parameters
    ----------
    opu : OPU, Stack, Digital, str or None
        What projects, or the address of a daemon; None is this machine's daemon. A
        connection that is made for an address is made by ``fit``.
    n_components : int or None
        Rows of B in use, the first ones; None means all.
    encoder : {"threshold", "bits", "sign", "none"}
        How real numbers become vectors:
        "threshold" shows 1 where a feature is above its median in the training data;
        "sign" shows 1 and -1 where it is further from its mean than ``dead_zone``
        standard deviations;
        "bits" quantises each feature to ``bits`` bits between the least and the largest
        of the training data, projects each bit by itself and adds the projections with
        the bits' weights: B x for x from 0 to 1, ``bits`` exposures a sample;
        "none" takes samples of -1, 0 and 1 as they are.
    bits : int
        Of the encoder "bits", 1 to 16.
    dead_zone : float
        Of the encoder "sign", 0 or more.
    output : {"intensity", "real", "complex"}
        abs(B x)^2, which is not linear in x; Re(B x); or real and imaginary parts, two
        columns for each row of B, next to each other. All are of the field, and in units
        in which the mean of abs(B)^2 is 1.

    Attributes
    ----------
    n_features_in_ : int
    projector_ : what projects
    epoch_ : str
        The matrix that ``fit`` saw. ``transform`` raises OtherMatrixError on any other.
    threshold_, mean_, scale_, low_, high_ : arrays
        What the encoder learnt; those that it uses.
    """

    def __init__(
        self, opu: Any = None, n_components: Optional[int] = None, encoder: str = "threshold", bits: int = 4,
        dead_zone: float = 0.5, output: str = "intensity",
    ):
        self.opu = opu
        self.n_components = n_components
        self.encoder = encoder
        self.bits = bits
        self.dead_zone = dead_zone
        self.output = output

    def fit(self, X: Any, y: Any = None) -> "OPUMap":
        """Learns the encoder from samples x features, and which matrix it is for."""
        if self.encoder not in ENCODERS:
            raise InputError(f"cannot use the encoder {self.encoder!r}: there are {', '.join(ENCODERS)}")
        if self.output not in OUTPUTS:
            raise InputError(f"cannot give the output {self.output!r}: there are {', '.join(OUTPUTS)}")
        if not 1 <= self.bits <= 16 or not self.dead_zone >= 0:
            raise InputError(f"cannot encode with {self.bits} bits and a dead zone of {self.dead_zone}: 1 to 16, and 0 or more, are possible")
        X = self._validate(X, reset=True)
        projector = OPU(self.opu) if self.opu is None or isinstance(self.opu, str) else self.opu
        if X.shape[1] > projector.inputs:
            raise InputError(f"cannot project {X.shape[1]} features: the OPU has {projector.inputs} inputs")
        if self.n_components is not None and not 1 <= self.n_components <= projector.outputs:
            raise InputError(f"cannot give {self.n_components} components: the OPU has {projector.outputs} outputs")
        if self.encoder == "threshold":
            self.threshold_ = np.median(X, axis=0)
        elif self.encoder == "sign":
            self.mean_, self.scale_ = X.mean(axis=0), X.std(axis=0)
        elif self.encoder == "bits":
            self.low_, self.high_ = X.min(axis=0), X.max(axis=0)
        self.projector_, self.epoch_ = projector, projector.epoch
        self._n_features_out = (self.n_components or projector.outputs) * (2 if self.output == "complex" else 1)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """float32, samples x components (twice as many for complex outputs)."""
        check_is_fitted(self, "projector_")
        X = self._validate(X, reset=False)
        if self.projector_.epoch != self.epoch_:
            raise OtherMatrixError(f"cannot transform: the matrix is of epoch {self.projector_.epoch}, the fit was for {self.epoch_}; fit anew")
        y = self._project(X)
        if self.output == "real":
            return np.ascontiguousarray(y.real)
        if self.output == "complex":
            return y.view(np.float32)
        return y.real ** 2 + y.imag ** 2

    def encode(self, X: Any) -> List[np.ndarray]:
        """The int8 vectors that are shown: one array of samples x features, for "bits" one
        for each bit, the most significant first."""
        check_is_fitted(self, "projector_")
        return self._encode(self._validate(X, reset=False))

    def _more_tags(self) -> dict:  # before scikit-learn 1.6
        return {"preserves_dtype": [np.float32]}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    def _encode(self, X: np.ndarray) -> List[np.ndarray]:
        if self.encoder == "threshold":
            return [(X > self.threshold_).astype(np.int8)]
        if self.encoder == "sign":
            far = np.abs(X - self.mean_) > self.dead_zone * self.scale_
            return [(np.sign(X - self.mean_) * far).astype(np.int8)]
        if self.encoder == "bits":
            span = np.where(self.high_ > self.low_, self.high_ - self.low_, 1)
            levels = np.rint(np.clip((X - self.low_) / span, 0, 1) * (2 ** self.bits - 1)).astype(np.int64)
            return [(levels >> bit & 1).astype(np.int8) for bit in reversed(range(self.bits))]
        wrong = (X != 0) & (np.abs(X) != 1)
        if wrong.any():
            raise InputError(f"cannot show {X[wrong][0]}: the encoder \"none\" takes -1, 0 and 1; choose another encoder")
        return [X.astype(np.int8)]

    def _project(self, X: np.ndarray) -> np.ndarray:
        planes = self._encode(X)
        rows = (0, self.n_components or self.projector_.outputs)
        spare = self.projector_.inputs - X.shape[1]
        sum_of_weights = 2 ** len(planes) - 1
        total: Any = 0
        for i, plane in enumerate(planes):
            y = self.projector_.project(np.pad(plane, ((0, 0), (0, spare))), rows=rows)
            total = total + y * np.float32(2 ** (len(planes) - 1 - i) / sum_of_weights)
        return total

    def _validate(self, X: Any, reset: bool) -> np.ndarray:
        if validate_data is None:
            return self._validate_data(X, reset=reset, dtype=np.float64)
        return validate_data(self, X, reset=reset, dtype=np.float64)
