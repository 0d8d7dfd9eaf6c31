"""IU (Koh & Liang 2017; Izzo et al. 2021): one Newton step on the retain loss, with the Fisher matrix as Hessian."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from dau_lightning.base.console import progress
from dau_lightning.base.error import InputError
from dau_lightning.base.randomness import generator
from dau_lightning.data.loader import Batch
from dau_lightning.training.module import UnlearningModule
from dau_lightning.training.per_sample_gradient import flattened, move, per_sample_gradients, weighted_gradient
from dau_lightning.training.per_sample_pass import by_device

STORED_BYTES = {"cpu": 768 * 2**20, "cuda": 8 * 2**30}  # memory of the gradients kept at a time
BESIDE_BYTES = {"cpu": 64 * 2**20, "cuda": 2**30}  # memory of the gradients that are multiplied with the kept ones
BATCH = 128  # samples at a time for a network with fewer parameters than samples
SLICE = 4096  # parameters in one product
LARGEST = 8000  # the most equations: in float64 they take 0.5 GB, and solving them takes as much again


class InfluenceUnlearning(UnlearningModule):
    """`theta <- theta + scale (F + damping I)^-1 v`, `v = n_f / N (grad_f - grad_r)`, `F` the Fisher matrix of retain samples.

    One pass over retain and forget set, without augmentation, gives the mean gradients; the weights change once at its end,
    and batch-norm's running statistics do not change. At the optimum of the loss on `D`, `v` is `-grad_r`, so that with
    `scale` 1 this is a Newton step on the retain loss.

    Args:
        scale: factor of the step: 1 for the Newton step, more where `F` overestimates the curvature.
        damping: number that is added to every eigenvalue of `F`.
        samples: number of retain samples, drawn at random, from which `F` is computed.
        settings: further arguments, see `UnlearningModule`.

    Raises:
        InputError: `samples` is None or more than `LARGEST`, or `damping` is 0 with fewer samples than parameters.
    """

    label = "IU"

    def __init__(self, *, scale: float, damping: float, samples: int | None, **settings: Any) -> None:
        super().__init__(**settings)
        if samples is None or samples > LARGEST:
            got = "null" if samples is None else samples
            raise InputError(f"baseline.samples must be at most {LARGEST}, the most equations that are solved; got {got}")
        self.batch_sizes = {"retain": self.batch_size, "forget": self.batch_size}
        self.scale, self.damping, self.samples = scale, damping, samples
        _check(damping, rank=samples, size=sum(parameter.numel() for parameter in self.defender.parameters()))

    def begin(self) -> None:
        """Start the sums of the gradients."""
        self.memory |= {name: torch.zeros((), dtype=torch.float64) for name in self.batch_sizes}

    def training_step(self, batch: Mapping[str, Batch], batch_idx: int) -> None:
        """Add the gradients of the batch's samples to the sums."""
        for name, (images, targets) in batch.items():
            gradient = weighted_gradient(self.defender, images, targets, torch.ones_like(targets))
            self.memory[name] = self.memory[name] + gradient

    def on_train_epoch_end(self) -> None:
        """Change the weights."""
        retain, n_f = self.data.part("retain"), len(self.data.part("forget"))
        n_r = len(retain)
        vector = n_f / (n_f + n_r) * (self.memory["forget"] / n_f - self.memory["retain"] / n_r)
        drawn = retain[torch.randperm(n_r, generator=generator(self.seed, self.phase, "samples"))[: self.samples]]
        images = self.data.transform.normalise(drawn.images)
        change = self.scale * inverse_fisher_product(self.defender, images, drawn.targets, vector, self.damping)
        self.findings["relative_change"] = float(change.norm() / flattened(self.defender).norm())
        move(self.defender, change)


def inverse_fisher_product(model: nn.Module, images: Tensor, targets: Tensor, vector: Tensor, damping: float) -> Tensor:
    """`(F + damping I)^-1 vector`, `F = 1/N sum_i g_i g_i^T`, `g_i` the gradient of sample i with its own target.

    This is the closed form of the result that the WoodFisher recursion (Singh & Alistarh 2020) reaches after N samples. With
    `G (N, P)` the gradients, it is `(v - G^T (N damping I + G G^T)^-1 G v) / damping`; if `P <= N`, the `P` equations are
    solved directly. Equations are solved in float64; gradients and the products of their slices are in the model's dtype.

    Args:
        model: returns logits `(B, K)`, or a tuple that starts with them.
        images: float `(N, C, H, W)`.
        targets: int64 `(N,)`.
        vector: v, `(P,)`.
        damping: at least 0, and above 0 if `F` is singular.

    Returns:
        The product, `(P,)`, in the vector's dtype.

    Raises:
        InputError: the Fisher matrix is singular and there is no damping.
    """
    count, size, v = len(images), len(vector), vector.double()
    _check(damping, rank=count, size=size)
    if size <= count:
        matrix = _fisher(model, images, targets)
        if damping == 0:
            _check(damping, rank=int(torch.linalg.matrix_rank(matrix, hermitian=True)), size=size)
        matrix.diagonal().add_(damping)
        return torch.linalg.solve(matrix, v).to(vector)
    gram, products = _gram(model, images, targets, v)
    gram.diagonal().add_(count * damping)
    weights = torch.linalg.solve(gram, products)
    return ((v - weighted_gradient(model, images, targets, weights)) / damping).to(vector)


def _check(damping: float, rank: int, size: int) -> None:
    if damping < 0 or (damping == 0 and rank < size):
        raise InputError(
            f"baseline.damping must be above 0, since the Fisher matrix of {size:,} parameters has rank {rank:,} at most "
            f"and no inverse; got {damping:g}"
        )


def _fisher(model: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
    """`G^T G / N`, float64 `(P, P)`."""
    total = torch.zeros((), dtype=torch.float64, device=images.device)
    for chunk in zip(images.split(BATCH), targets.split(BATCH), strict=True):
        gradients = per_sample_gradients(model, *chunk).double()
        total = total + gradients.T @ gradients
    return total / len(images)


def _gram(model: nn.Module, images: Tensor, targets: Tensor, vector: Tensor) -> tuple[Tensor, Tensor]:
    """`G G^T (N, N)` and `G v (N,)`, float64. For each block of kept gradients, all later gradients are computed again."""
    count, size = len(images), sum(parameter.nbytes for parameter in model.parameters())
    gram, products = vector.new_empty(count, count), vector.new_empty(count)
    stored, step = (max(1, by_device(budget, vector) // size) for budget in (STORED_BYTES, BESIDE_BYTES))
    for first in progress(range(0, count, stored), "IU, inner products"):
        block = slice(first, min(first + stored, count))
        kept = per_sample_gradients(model, images[block], targets[block])
        products[block] = _inner(kept, vector.unsqueeze(0))[:, 0]
        gram[block, block] = _inner(kept, kept)
        for later in range(block.stop, count, step):
            others = slice(later, min(later + step, count))
            gram[block, others] = _inner(kept, per_sample_gradients(model, images[others], targets[others]))
            gram[others, block] = gram[block, others].T
        del kept  # before the next ones are made
    return gram, products


def _inner(first: Tensor, second: Tensor) -> Tensor:
    """`first @ second.T` for `(A, P)` and `(B, P)`, float64.

    The product is summed over slices of P, of which small copies suffice. With float32 inputs, the product of a slice is in
    float32 and the sum over slices in float64: the error is 1e-7, about that of rounding the entries, and a CPU is three
    times as fast.
    """
    total = first.new_zeros(len(first), len(second), dtype=torch.float64)
    for a, b in zip(first.split(SLICE, 1), second.split(SLICE, 1), strict=True):
        total += a @ b.to(a.dtype).T
    return total
