"""The same work as a step of the package, written by hand in plain PyTorch: what there is to be compared with."""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dau_lightning.data.split import Split
from dau_lightning.data.transform import Transform
from dau_lightning.dataset.images import Images
from dau_lightning.game.attacker import Attacker


class PlainLoop:
    """SGDMethod on the cross-entropy of a part: crop, flip, forward, backward, SGD.

    Args:
        network: images to logits; a copy is trained.
        part: images on the device.
        transform: pixels to inputs.
        batch_size: images a step.
        bfloat16: whether the network's pass is in bfloat16.
    """

    def __init__(self, network: nn.Module, part: Images, transform: Transform, batch_size: int, bfloat16: bool) -> None:
        self.network, self.transform, self.bfloat16 = copy.deepcopy(network).train(), transform, bfloat16
        self.device = next(network.parameters()).device
        self.optimizer = torch.optim.SGD(self.network.parameters(), 0.01, 0.9, weight_decay=5e-4, fused=True)
        self.stream = Stream(part, transform, batch_size)

    def loss(self) -> Tensor:
        """Of the next batch."""
        images, targets = self.stream.next()
        return F.cross_entropy(self.forward(images), targets)

    def forward(self, images: Tensor) -> Tensor:
        """Logits in float32."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            return self.network(images).float()

    def __call__(self) -> Tensor:
        """One step; its loss."""
        loss = self.loss()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.detach()


class Stream:
    """Augmented batches of a part without end, from one generator."""

    def __init__(self, part: Images, transform: Transform, batch_size: int) -> None:
        self.images, self.targets = part.images, part.targets
        self.transform, self.batch_size = transform, batch_size
        self.generator = torch.Generator().manual_seed(0)
        self.order = torch.empty(0, dtype=torch.int64)

    def next(self) -> tuple[Tensor, Tensor]:
        """Images `(B, C, H, W)` and targets `(B,)`."""
        while len(self.order) < self.batch_size:
            self.order = torch.cat([self.order, torch.randperm(len(self.images), generator=self.generator)])
        index, self.order = self.order[: self.batch_size], self.order[self.batch_size :]
        index = index.to(self.images.device, non_blocking=True)
        images = self.transform.augment(self.images[index], self.generator)
        return self.transform.normalise(images), self.targets[index]


class PlainDAU(PlainLoop):
    """A step of the game with the defaults of `conf/baseline/dau_paper.yaml` (Algorithm 1; Eq. 2 with lambda 5e-3).

    Args:
        split: parts on the device.
        sizes: images a step of retain, forget and val.
        settings: see `PlainLoop`.
    """

    def __init__(
        self, network: nn.Module, split: Split, transform: Transform, sizes: tuple[int, int, int], bfloat16: bool
    ) -> None:
        super().__init__(network, split.retain, transform, sizes[0], bfloat16)
        self.streams = [Stream(part, transform, size) for part, size in zip((split.forget, split.val), sizes[1:], strict=True)]
        self.forgotten, self.features = sizes[1], torch.empty(0)
        linear = [module for module in self.network.modules() if isinstance(module, nn.Linear)][-1]
        linear.register_forward_pre_hook(lambda _, inputs: setattr(self, "features", inputs[0].float()))
        self.norms = [module for module in self.network.modules() if isinstance(module, nn.BatchNorm2d)]
        self.attacker = Attacker(linear.out_features).to(self.device)
        self.adam = torch.optim.Adam(self.attacker.parameters(), 1e-3, fused=True)

    def loss(self) -> Tensor:
        """Eq. 3, after the attacker's step."""
        loss = super().loss()
        (forget, forget_targets), (val, val_targets) = (stream.next() for stream in self.streams)
        images, targets = torch.cat([forget, val]), torch.cat([forget_targets, val_targets])
        for norm in self.norms:
            norm.track_running_stats = False
        probabilities = self.forward(images).softmax(1)
        for norm in self.norms:
            norm.track_running_stats = True
        sensitivity = torch.zeros_like(probabilities)
        self.attack(self.game(probabilities.detach(), sensitivity, targets))
        self.attacker.eval().requires_grad_(False)
        game = self.game(probabilities, sensitivity, targets)
        self.attacker.train().requires_grad_(True)
        return loss + 0.9 * game + 1e-3 * redundancy(*self.features.split(self.forgotten))

    def game(self, probabilities: Tensor, sensitivity: Tensor, targets: Tensor) -> Tensor:
        """`L_A`, Eq. 1."""
        forget, val = self.attacker(probabilities, sensitivity, targets).split(self.forgotten)
        return F.logsigmoid(forget).mean() + F.logsigmoid(-val).mean()

    def attack(self, game: Tensor) -> None:
        """The attacker's step."""
        self.adam.zero_grad()
        (-game).backward()
        self.adam.step()


def redundancy(forget: Tensor, val: Tensor) -> Tensor:
    """`V_ss`, Eq. 2."""
    forget, val = (F.normalize(features - features.mean(0), dim=0) for features in (forget, val))
    correlation = forget.T @ val
    diagonal = correlation.diagonal()
    return (1 - diagonal).square().sum() + 5e-3 * (correlation.square().sum() - diagonal.square().sum())
