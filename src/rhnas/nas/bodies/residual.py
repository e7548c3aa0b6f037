"""The supernet of a residual space: one set of weights per block and operation at the greatest width.

Where a width is taken, narrower networks use the first channels. Where widths are mixed, all run at the
widest and every channel weighs as much as the widths that have it (FBNetV2, Wan et al., CVPR 2020); a depth
is the weight of the branches it keeps.

Where the gates stand. The gate Z of a decision multiplies what the decision brings in, at a place where a
change of scale is not undone by the next normalisation: before a residual addition. A block's operation, and
the width and depth of its stage, scale the block's branch; the stem's width scales the first shortcut. A
linear bottleneck that changes the shape has no addition: the gates of width and depth would scale all that
follows in the stage, and its next normalisation undo them, so they scale the later branches only.
"""

from __future__ import annotations

import itertools
from functools import lru_cache
from typing import cast, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from rhnas.nas.bodies.mixture import Mixture
from rhnas.nas.bodies.units import Shape, Units, channel_gate
from rhnas.nas.operations import pool, weight_shape
from rhnas.networks.spaces.residual import ResidualSpace
from rhnas.workload import Layer, LayerKind

Cells = list[tuple[Tensor, Layer]]
Blocks = list[tuple[Tensor, tuple[Layer, ...]]]
"""One block at the widths that run, each with its weight."""


@final
class ResidualBody(nn.Module):
    """Weights of a residual space.

    Args:
        space: The networks.
        generator: Of the initial weights.
    """

    def __init__(self, space: ResidualSpace, generator: torch.Generator) -> None:
        super().__init__()
        self.space = space
        self._block = lru_cache(maxsize=None)(space.block)
        self._options = [space.settings.stem_widths, *(stage.widths for stage in space.settings.stages)]
        self._decisions = [0, *(at.width for at in space.stages)]
        self.units = Units(*self._shared_convolutions(), generator)
        self.features = space.head(max(self._options[-1]), "")[-1].channels[0]

    def _shared_convolutions(self) -> tuple[dict[str, Shape], set[str]]:
        """Per shared convolution the shape that holds all of its widths, and which end a branch."""
        settings = self.space.settings
        layers = [("", layer) for width in settings.stem_widths for layer in self.space.stem(width)]
        for stage, options in enumerate(settings.stages):
            for block in range(max(options.depths)):
                for cin in self._options[stage] if block == 0 else options.widths:
                    for cout in options.widths if block == 0 else (cin,):
                        layers += [
                            (op, layer)
                            for op in settings.ops
                            for layer in self._block(stage, block, op, (cin, cout))
                        ]
        layers += [("", layer) for layer in self.space.head(max(self._options[-1]), "")[:-1]]
        shapes: dict[str, Shape] = {}
        ends: set[str] = set()
        for op, layer in layers:
            key = _key(layer, op)
            if layer.kind is LayerKind.CONV:
                shape = weight_shape(layer)
                shapes[key] = tuple(map(max, shape, shapes.get(key, shape)))
            elif layer.kind is LayerKind.ADD:
                ends.add(f"{layer.inputs[0]}.{op}".replace(".", "_"))
        return shapes, ends

    def forward(self, pictures: Tensor, mixture: Mixture) -> tuple[Tensor, Tensor | None]:
        """Features (N, C) of pictures (N, C, H, W), and their weights (C,) where the last width is mixed."""
        values = self._stem(pictures, mixture)
        for stage, at in enumerate(self.space.stages):
            depths = self.space.settings.stages[stage].depths
            for block in range(len(at.ops)):
                reaching = [weight for option, weight in mixture.of(at.depth) if block < depths[option]]
                if not reaching:
                    break
                kept = reaching[0] if len(reaching) == 1 else torch.stack(reaching).sum()
                values = self._residual(stage, block, values, mixture, kept)
        last = [(weight, self._options[-1][option]) for option, weight in mixture.of(self._decisions[-1])]
        if self.space.settings.head_width:
            cells = [(weight, self.space.head(width, "")[0]) for weight, width in last]
            return self.units("head", cells, values).mean(dim=(2, 3)), None
        gate = channel_gate(*zip(*last, strict=True)) if len(last) > 1 else None
        return values.mean(dim=(2, 3)), gate

    def _stem(self, values: Tensor, mixture: Mixture) -> Tensor:
        stems = [(weight, self.space.stem(self._options[0][option])) for option, weight in mixture.of(0)]
        for index, layer in enumerate(stems[0][1]):
            if layer.kind is not LayerKind.CONV:
                values = pool(layer, values)
                continue
            cells = [(weight, layers[index]) for weight, layers in stems]
            values = self.units(_key(layer, ""), cells, values, _gate(cells))
        return values

    def _blocks(self, stage: int, block: int, op: str, mixture: Mixture) -> Blocks:
        """The block at every combination of widths that runs; a width before it counts where it is mixed."""
        at, widths = self.space.stages[stage], self._options[stage + 1]
        after = [(weight, widths[option]) for option, weight in mixture.of(at.width)]
        if block > 0:
            return [(weight, self._block(stage, block, op, (width, width))) for weight, width in after]
        before = [(weight, self._options[stage][option]) for option, weight in mixture.of(at.source_width)]
        return [
            (out if len(before) == 1 else into * out, self._block(stage, 0, op, (cin, cout)))
            for (into, cin), (out, cout) in itertools.product(before, after)
        ]

    def _residual(self, stage: int, block: int, values: Tensor, mixture: Mixture, kept: Tensor) -> Tensor:
        at, ops = self.space.stages[stage], self.space.settings.ops
        shapes = self._blocks(stage, block, ops[0], mixture)
        stem = mixture.weights[0][0] if stage == block == 0 and mixture.single(0) else None
        total = values if block > 0 else self._shortcut(shapes, values, stem)
        carried = total is not None
        for option, weight in mixture.of(at.ops[block]):
            blocks = self._blocks(stage, block, ops[option], mixture)
            gate = kept * weight if carried else weight
            if carried and len(blocks) == 1:
                gate = gate * blocks[0][0]
            branch = self._branch(ops[option], blocks, values, gate)
            total = branch if total is None else branch + total
        if total is None:
            raise RuntimeError("an operation of every block must run")
        return total if self.space.settings.linear else functional.relu(total)

    def _branch(self, op: str, blocks: Blocks, values: Tensor, gate: Tensor) -> Tensor:
        convolutions = [i for i, layer in enumerate(blocks[0][1]) if _in_branch(layer)]
        for index in convolutions:
            cells = [(weight, layers[index]) for weight, layers in blocks]
            factor = _gate(cells)
            if index == convolutions[-1]:
                factor = gate if factor is None else gate * factor
            values = self.units(_key(cells[0][1], op), cells, values, factor)
        return values

    def _shortcut(self, blocks: Blocks, values: Tensor, gate: Tensor | None) -> Tensor | None:
        """What a stage's first block adds to its branch; None where no widths that run add anything."""
        projected = [(w, layer) for w, layers in blocks for layer in layers if _is_shortcut(layer)]
        kept = [
            (w, layers[-1])
            for w, layers in blocks
            if layers[-1].kind is LayerKind.ADD and not any(map(_is_shortcut, layers))
        ]
        if len(blocks) == 1:
            if projected:
                return cast(Tensor, self.units(_key(projected[0][1], ""), projected, values, gate))
            return (values if gate is None else values * gate) if kept else None
        total, width = None, max(layers[-1].channels[1] for _, layers in blocks)
        if projected:
            total = self.units(_key(projected[0][1], ""), projected, values, _weights(projected))
            total = _widened(total, width)
        if kept:
            factor = _weights(kept)
            same = _widened(values[:, : len(factor)] * factor[:, None, None], width)
            total = same if total is None else total + same
        return total


def _gate(cells: Cells) -> Tensor | None:
    """Weight per output channel where a convolution runs at several widths."""
    several = len({layer.channels[1] for _, layer in cells}) > 1
    return _weights(cells) if several else None


def _weights(cells: Cells) -> Tensor:
    return channel_gate([weight for weight, _ in cells], [layer.channels[1] for _, layer in cells])


def _widened(values: Tensor, channels: int) -> Tensor:
    return functional.pad(values, (0, 0, 0, 0, 0, channels - values.shape[1]))


def _in_branch(layer: Layer) -> bool:
    return layer.kind is LayerKind.CONV and not _is_shortcut(layer)


def _is_shortcut(layer: Layer) -> bool:
    return layer.name.endswith(".shortcut")


def _key(layer: Layer, op: str) -> str:
    """Name of a convolution's shared weights: shortcuts and the stem do not depend on the operation."""
    shared = layer.name if not op or _is_shortcut(layer) else f"{layer.name}.{op}"
    return shared.replace(".", "_")
