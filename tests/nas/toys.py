"""Small problems with known answers for strategies of architecture search."""

import itertools

import numpy as np
import torch
from torch.nn import functional

from rhnas.nas.supernet import SuperNet
from rhnas.networks.spaces.residual import ResidualSettings, ResidualSpace, StageSettings
from rhnas.networks.tables import CostTable, LayerCounts, TermCost
from rhnas.seeds import Seeds
from rhnas.settings import NasSettings

SETTINGS = NasSettings(alpha_rate=0.05, freeze=1.0, learning_rate=0.02)


def two_blocks(ops=("dense", "bottleneck", "grouped")):
    stage = StageSettings(widths=(8,), depths=(2,))
    return ResidualSpace(
        ResidualSettings(name="two", picture=(1, 6, 6), classes=3, stem_widths=(8,), stages=(stage,), ops=ops)
    )


def batch(space, n=32, seed=0):
    """Pictures whose class is the channel-wise place of a bright bar: learnable in a few steps."""
    noise = torch.Generator().manual_seed(seed)
    labels = torch.randint(space.classes, (n,), generator=noise)
    pictures = 0.3 * torch.randn(n, *space.picture, generator=noise)
    for row, label in enumerate(labels.tolist()):
        pictures[row, :, 2 * label : 2 * label + 2] += 1.0
    return pictures, labels


def mac_table(space):
    """Cycles and energy equal to MACs: one design on which small networks are cheap."""
    counts = LayerCounts.of(space)
    macs = np.array([[float(layer.macs + 1) for layer in space.layers]])
    cells = [np.moveaxis(c @ macs.T, -1, 0) for c in counts.counts]
    terms = tuple(TermCost(d, c, c) for d, c in zip(counts.decisions, cells, strict=True))
    return CostTable(terms, np.ones(1), np.ones(1), np.zeros(1))


def path_loss(net, architecture, pictures, labels):
    """Loss of one path, and its draw."""
    draw = net.path(architecture)
    return functional.cross_entropy(net(pictures, draw.mixture), labels), draw


def true_gradient(net, pictures, labels):
    """d E_Z[L] / d alpha by enumeration of every network."""
    total = torch.zeros_like(net.alpha)
    for network in itertools.product(*(range(len(d.options)) for d in net.space.decisions)):
        with torch.no_grad():
            loss, _ = path_loss(net, network, pictures, labels)
        probability = net.path(network).log_probability.exp()
        total += loss * torch.autograd.grad(probability, net.alpha)[0]
    return total


class Planted(SuperNet):
    """A supernet whose loss is known: every option that runs earns what it is worth times its weight."""

    def __init__(self, space, worth):
        super().__init__(space, Seeds(root=0))
        self.worth = worth

    def forward(self, pictures, mixture):
        earned = [
            weight * self.worth[decision][option]
            for decision in range(len(self.worth))
            for option, weight in mixture.of(decision)
        ]
        right = torch.stack(earned).sum() + 0 * self.bias.sum()
        return torch.stack([right, torch.zeros_like(right)])[None].expand(len(pictures), 2)
