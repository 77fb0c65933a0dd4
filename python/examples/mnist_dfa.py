"""Train 784-1024-1024-10 on MNIST by direct feedback alignment, by light or simulated light.

    python3 mnist_dfa.py --data mnist --sim good --epochs 2     # a private simulated bench
    python3 mnist_dfa.py --data mnist                           # the daemon of this machine
    python3 mnist_dfa.py --data mnist --digital                 # the control: B in memory

The settings are those of `opuctl train`: inputs standardised, batch 128, Adam at 0.001,
ternary errors beyond 0.1. The folder holds MNIST's four idx files, gzipped or not.
"""

import argparse
import gzip
import os
import time

import numpy as np
import torch
from torch import nn

import opu
import opu.torch

CLASSES = 10


def idx(folder, name):
    """An array of MNIST."""
    for path, opener in ((os.path.join(folder, name + ".gz"), gzip.open), (os.path.join(folder, name), open)):
        if os.path.exists(path):
            with opener(path, "rb") as f:
                raw = f.read()
            dims = raw[3]
            shape = np.frombuffer(raw, ">i4", dims, 4)
            return np.frombuffer(raw, np.uint8, offset=4 + 4 * dims).reshape(shape)
    raise SystemExit(f"cannot find {name} in {folder}; opuctl train --download --data {folder} fetches MNIST")


def load(folder):
    parts = []
    for part in ("train", "t10k"):
        x = idx(folder, part + "-images-idx3-ubyte").reshape(-1, 784)
        parts += [torch.from_numpy(x.astype(np.float32) / 255), torch.from_numpy(idx(folder, part + "-labels-idx1-ubyte").astype(np.int64))]
    mean, std = parts[0].mean(), parts[0].std(unbiased=False)
    parts[0], parts[2] = (parts[0] - mean) / std, (parts[2] - mean) / std
    return parts


def projector(args):
    outputs = (sum(args.layers) + 1) // 2
    if args.digital:
        return opu.Digital(outputs, CLASSES, args.seed)
    if args.sim:
        return opu.OPU.sim(args.sim, inputs=CLASSES, outputs=outputs, seed=args.seed)
    return opu.OPU(args.address)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--data", required=True, help="folder with MNIST")
    p.add_argument("--address", help="of the daemon (this machine's socket)")
    p.add_argument("--sim", metavar="PRESET", help="start a simulated bench")
    p.add_argument("--digital", action="store_true", help="B in memory, no OPU")
    p.add_argument("--layers", type=lambda s: [int(n) for n in s.split(",")], default=[1024, 1024], help="widths, with commas")
    p.add_argument("--epochs", type=int, default=10)
    p.add_argument("--batch", type=int, default=128)
    p.add_argument("--rate", type=float, default=0.001)
    p.add_argument("--error", choices=("ternary", "gain"), default="ternary")
    p.add_argument("--schedule", choices=("constant", "cosine"), default="constant")
    p.add_argument("--seed", type=int, default=1)
    args = p.parse_args()

    x, y, x_test, y_test = load(args.data)
    torch.manual_seed(args.seed)
    device = projector(args)
    print(device if not args.digital else device.epoch, flush=True)
    widths = [x.shape[1], *args.layers, CLASSES]
    layers = [nn.Linear(a, b) for a, b in zip(widths, widths[1:])]  # uniform in +-1/sqrt(fan-in)
    dfa = opu.torch.DFA([*(nn.Sequential(l, nn.Tanh()) for l in layers[:-1]), layers[-1]], device, error=args.error)
    optimiser = torch.optim.Adam(dfa.parameters(), lr=args.rate)
    steps = len(x) // args.batch
    for epoch in range(args.epochs):
        start, losses = time.monotonic(), 0.0
        order = torch.randperm(len(x))
        for step in range(steps):
            if args.schedule == "cosine":
                done = (epoch * steps + step) / (args.epochs * steps)
                optimiser.param_groups[0]["lr"] = args.rate * 0.5 * (1 + np.cos(np.pi * done))
            rows = order[step * args.batch:(step + 1) * args.batch]
            optimiser.zero_grad()
            losses += dfa.backward(x[rows], y[rows]).item()
            optimiser.step()
        with torch.no_grad():
            right = sum((dfa(a).argmax(1) == b).sum().item() for a, b in zip(x_test.split(500), y_test.split(500)))
        print(
            f"epoch {epoch + 1} of {args.epochs}: loss {losses / steps:.4f}, test accuracy {100 * right / len(x_test):.2f} %, "
            f"{dfa.projected} of {dfa.rows} rows needed light, {time.monotonic() - start:.1f} s", flush=True,
        )
    if not args.digital:
        device.close()


if __name__ == "__main__":
    main()
