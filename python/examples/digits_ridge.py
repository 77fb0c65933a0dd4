"""Handwritten digits by ridge regression: linear, on random features by light, and with
the kernel that those features approach.

    python3 digits_ridge.py --sim good     # a private simulated bench
    python3 digits_ridge.py                # the daemon of this machine, with 64 inputs

The features are abs(B x)^2 for images x of four grey levels: two exposures each. For many rows of B their products are, up
to a factor, the kernel k(x, y) = |x|^2 |y|^2 + (x.y)^2: light computes a quadratic kernel
whose cost does not grow with the samples squared.
"""

import argparse

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import RidgeClassifier
from sklearn.kernel_ridge import KernelRidge
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import opu
from opu.sklearn import OPUMap


def kernel(x, y):
    """That of abs(B x)^2 for circular Gaussian B with unit variance."""
    return np.outer((x * x).sum(1), (y * y).sum(1)) + (x @ y.T) ** 2


def compare(device):
    """Accuracies of the linear model, of random features and of the exact kernel."""
    digits = load_digits()
    x, x_test, y, y_test = train_test_split(digits.data, digits.target, test_size=0.4, random_state=1)
    linear = make_pipeline(StandardScaler(), RidgeClassifier(alpha=1.0)).fit(x, y).score(x_test, y_test)

    features = OPUMap(device, encoder="bits", bits=2, output="intensity").fit(x)
    by_light = make_pipeline(features, StandardScaler(), RidgeClassifier(alpha=100.0)).fit(x, y).score(x_test, y_test)

    shown, shown_test = ((2 * high + low) / 3 for high, low in map(features.encode, (x, x_test)))
    one_hot = np.eye(10)[y] - 0.1
    exact = KernelRidge(alpha=10.0, kernel="precomputed").fit(kernel(shown, shown), one_hot)
    with_kernel = (exact.predict(kernel(shown_test, shown)).argmax(1) == y_test).mean()
    return linear, by_light, with_kernel


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--address", help="of the daemon (this machine's socket)")
    p.add_argument("--sim", metavar="PRESET", help="start a simulated bench")
    p.add_argument("--outputs", type=int, default=2000, help="of the simulated bench")
    args = p.parse_args()
    with opu.OPU.sim(args.sim, inputs=64, outputs=args.outputs) if args.sim else opu.OPU(args.address) as device:
        print(device)
        for name, accuracy in zip(("linear", "features by light", "exact kernel"), compare(device)):
            print(f"{name}: {100 * accuracy:.2f} %")


if __name__ == "__main__":
    main()
