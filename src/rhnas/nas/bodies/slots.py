"""The supernet of a slot space: every option has weights of its own; those that run are added up.

A gate multiplies an option's output, and in a residual slot that of its branch alone: the sum is then
x + sum_o z_o branch_o(x), in which an identity has no branch, gets no reward, and is what the other options
are measured against. Gradients through a softmax are the same as with x inside every option.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional

from rhnas.nas.bodies.mixture import Mixture
from rhnas.nas.bodies.units import Units
from rhnas.nas.operations import pool, weight_shape
from rhnas.networks.spaces.slots import Slot, SlotSpace
from rhnas.workload import PICTURE, Layer, LayerKind


@final
class SlotBody(nn.Module):
    """Weights of a slot space.

    Args:
        space: The networks.
        generator: Of the initial weights.
    """

    one: Tensor

    def __init__(self, space: SlotSpace, generator: torch.Generator) -> None:
        super().__init__()
        self.space = space
        shapes, ends = {}, set()
        for slot in space.slots:
            for branch in space.branches[slot.name]:
                for layer in branch or ():
                    if layer.kind is LayerKind.CONV:
                        shapes[_key(layer)] = weight_shape(layer)
                if branch and slot.residual:
                    ends.add(_key(branch[-1]))
        self.units = Units(shapes, ends, generator)
        self.register_buffer("one", torch.ones(()), persistent=False)
        self.features = space.shapes[space.slots[-1].name][0]

    def forward(self, pictures: Tensor, mixture: Mixture) -> tuple[Tensor, None]:
        """Features (N, C) of pictures (N, C, H, W); none of them is weighed."""
        values: dict[str, Tensor | None] = {PICTURE: pictures}
        for slot in self.space.slots:
            read = self._sum(slot, values)
            values[slot.name] = None if read is None else self._slot(slot, read, mixture)
        last = values[self.space.slots[-1].name]
        if last is None:
            raise RuntimeError("the last slot must have an output")
        return last.mean(dim=(2, 3)), None

    def _sum(self, slot: Slot, values: dict[str, Tensor | None]) -> Tensor | None:
        found = [v for name in self.space.inputs_of[slot.name] if (v := values[name]) is not None]
        if not found:
            return values[slot.otherwise] if slot.otherwise else None
        total = torch.stack(found).sum(0) if len(found) > 1 else found[0]
        return functional.relu(total) if slot.relu and len(found) > 1 else total

    def _slot(self, slot: Slot, read: Tensor, mixture: Mixture) -> Tensor | None:
        decision = self.space.decision_of[slot.name]
        running = [(0, None)] if decision is None else list(mixture.of(decision))
        total = read if slot.residual else None
        ran = False
        for option, gate in running:
            branch = self.space.branches[slot.name][option]
            if branch is None or (slot.residual and not branch):
                continue
            output = self._branch(branch, read, gate)
            total = output if total is None else total + output
            ran = True
        return functional.relu(total) if total is not None and ran and slot.residual and slot.relu else total

    def _branch(self, layers: tuple[Layer, ...], values: Tensor, gate: Tensor | None) -> Tensor:
        for layer in layers:
            last = gate if layer is layers[-1] else None
            if layer.kind is LayerKind.CONV:
                values = self.units(_key(layer), [(self.one, layer)], values, last)
            else:
                values = pool(layer, values) if last is None else pool(layer, values) * last
        return values if layers or gate is None else values * gate


def _key(layer: Layer) -> str:
    return layer.name.replace(".", "_")
