"""Direct feedback alignment for PyTorch: hidden layers learn from B e, by light.

    blocks = [
        nn.Sequential(nn.Linear(784, 1024), nn.Tanh()),
        nn.Sequential(nn.Linear(1024, 1024), nn.Tanh()),
        nn.Linear(1024, 10),
    ]
    dfa = opu.torch.DFA(blocks, device)             # an OPU with 10 inputs
    optimiser = torch.optim.Adam(dfa.parameters())
    for x, target in batches:
        optimiser.zero_grad()
        loss = dfa.backward(x, target)
        optimiser.step()

A block is any module with its nonlinearity. The output of each but the last gets the
gradient B_i q(e), where e is the error at the network's output and q makes it ternary; so
its weights get what backpropagation would carry from there through the block itself, and
nothing passes between blocks. There is one projection in a step, of which each block
takes a range of its own: as in the Go trainer, real and imaginary parts taken as reals in
their order, the first block's first.

Tensors may be on any device and of any floating type: what light returns is put beside
them.
"""

from __future__ import annotations

from typing import Any, Callable, Iterator, List, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor, nn

from .errors import InputError
from .safetensors import load_network

__all__ = ["DFA", "ternary", "ternary_gain", "load"]

GAIN_SHARE = 0.3  # entries beyond this share of the largest are shown
GAIN_GATE = 0.02  # samples whose largest entry is smaller are not


def ternary(error: Tensor, threshold: float = 0.1) -> Tensor:
    """The signs of entries strictly beyond the threshold, else 0, as int8. Errors are
    those of single samples, not of a mean over the batch: divided by its size they would
    never pass the threshold."""
    return (error.sign() * (error.abs() > threshold)).to(torch.int8)


def ternary_gain(error: Tensor, share: float = GAIN_SHARE, gate: float = GAIN_GATE) -> Tuple[Tensor, Tensor]:
    """Ternary relative to the largest entry of each sample, and the gain of each sample
    that its projection is multiplied with: the least-squares scale of q to e. Samples
    whose largest entry is below the gate are zeros, with a gain of 0."""
    largest = error.abs().amax(dim=1, keepdim=True)
    q = error.sign() * (error.abs() > share * largest) * (largest >= gate)
    gain = (error * q).sum(dim=1) / q.square().sum(dim=1).clamp(min=1)
    return q.to(torch.int8), gain


class DFA:
    """Gradients of direct feedback alignment for blocks that follow each other.

    ``projector`` is an :class:`opu.OPU`, a :class:`opu.Stack` or a :class:`opu.Digital`:
    it has as many inputs as the network has outputs, and half as many (complex) outputs
    as the hidden blocks have neurons together, or more. ``error`` is ``"ternary"`` with
    ``threshold``, or ``"gain"`` (see :func:`ternary_gain`). ``loss(output, target,
    reduction="sum")`` is that of cross-entropy unless given.

    ``rows`` counts the samples so far, ``projected`` those whose ternary error was not
    zero: the others cost no light. Not safe for use by several threads at once.
    """

    def __init__(
        self, blocks: Sequence[nn.Module], projector: Any, *, error: str = "ternary", threshold: float = 0.1,
        loss: Callable[..., Tensor] = nn.functional.cross_entropy,
    ):
        if len(blocks) < 2:
            raise InputError(f"cannot train {len(blocks)} blocks by feedback: one hidden block and the output are needed")
        if error not in ("ternary", "gain"):
            raise InputError(f'cannot code errors as {error!r}: "ternary" and "gain" are known')
        if not 0 <= threshold < 1:
            raise InputError(f"cannot use the threshold {threshold}: it must be 0 or more and below 1")
        self.blocks = nn.ModuleList(blocks)
        self.projector, self.error, self.threshold, self.loss = projector, error, threshold, loss
        self.rows = self.projected = 0

    def parameters(self) -> Iterator[nn.Parameter]:
        """Those of all blocks, for an optimiser."""
        return self.blocks.parameters()

    def __call__(self, x: Tensor) -> Tensor:
        """The network's output, with gradients like any module's: for testing."""
        for block in self.blocks:
            x = block(x)
        return x

    def backward(self, x: Tensor, target: Tensor) -> Tensor:
        """Runs a batch and adds its gradients (of the mean loss) to the parameters'
        ``grad``. Returns the mean loss, detached. Blocks until light has answered; errors
        are the projector's, and then no gradient was changed."""
        hidden: List[Tensor] = []
        for block in list(self.blocks)[:-1]:
            hidden.append(block(x))
            x = hidden[-1].detach()
        output = self.blocks[-1](x)
        seen = output.detach().requires_grad_()
        loss = self.loss(seen, target, reduction="sum")
        (error,) = torch.autograd.grad(loss, seen)
        feedback = self.feedback(error, [h[0].numel() for h in hidden])
        samples = len(output)
        torch.autograd.backward(
            [output, *hidden],
            [error / samples, *(f.reshape(h.shape).to(h.device, h.dtype) / samples for f, h in zip(feedback, hidden))],
        )
        return loss.detach() / samples

    def feedback(self, error: Tensor, widths: Sequence[int]) -> List[Tensor]:
        """B_i q(e) for hidden blocks of these widths, from errors of samples x classes:
        float32 tensors of samples x width, in the error's place."""
        if error.dim() != 2 or error.shape[1] != self.projector.inputs:
            raise InputError(f"cannot project errors of shape {tuple(error.shape)}: the OPU takes {self.projector.inputs} inputs")
        need = (sum(widths) + 1) // 2
        if need > self.projector.outputs:
            raise InputError(f"cannot feed back to {sum(widths)} neurons: they need {need} complex outputs, the OPU has {self.projector.outputs}")
        error = error.detach().float()
        gain = None
        if self.error == "gain":
            q, gain = ternary_gain(error)
        else:
            q = ternary(error, self.threshold)
        codes = q.cpu().numpy()
        active = np.flatnonzero(codes.any(axis=1))
        reals = np.zeros((len(codes), 2 * need), np.float32)
        if len(active):
            reals[active] = self.projector.project(codes[active], rows=(0, need)).view(np.float32)
        self.rows, self.projected = self.rows + len(codes), self.projected + len(active)
        y = torch.from_numpy(reals).to(error.device)
        if gain is not None:
            y = y * gain[:, None]
        return list(torch.split(y[:, :sum(widths)], list(widths), dim=1))


class _Scale(nn.Module):
    """(x - mean)/std, as two roundings like the Go package's."""

    def __init__(self, mean: float, std: float):
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("factor", torch.tensor(1 / std, dtype=torch.float32))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) * self.factor


_ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU, "sigmoid": nn.Sigmoid, "linear": nn.Identity}


def load(path: Any) -> nn.Sequential:
    """A network that opuctl trained (``network.safetensors``), as a module that takes
    samples x features as the data set has them (images as 0 to 1) and returns logits. Its
    attribute ``provenance`` says how it was trained."""
    network = load_network(path)
    layers: List[nn.Module] = [_Scale(network.mean, network.std)]
    for i, (weight, bias) in enumerate(zip(network.weights, network.biases)):
        if i:
            layers.append(_ACTIVATIONS[network.activation]())
        linear = nn.Linear(weight.shape[1], weight.shape[0])
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(weight))
            linear.bias.copy_(torch.from_numpy(bias))
        layers.append(linear)
    module = nn.Sequential(*layers)
    module.provenance = network.provenance  # type: ignore[assignment]
    return module
