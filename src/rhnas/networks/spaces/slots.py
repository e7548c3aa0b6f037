"""Network spaces written as slots: what stands between two places of a network, and what may stand there.

A slot reads the sum of other slots' outputs and applies one of its options to it. Shapes, workloads, cost
terms and the supernet follow from the slots; a space of one's own is a class with a tuple of them
(examples/own_space.py).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from rhnas.errors import SettingsError
from rhnas.networks.spaces.base import Architecture, Decision, LayerTerm, NetworkSpace
from rhnas.workload import PICTURE, Layer, LayerKind, Workload

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Conv:
    """A convolution with its normalisation.

    Attributes:
        out: Output channels.
        kernel: Of the square kernel; padding keeps the size at stride 1.
        stride: In both directions.
        groups: Groups of channels; 0 for one per channel (depthwise).
        relu: Whether a ReLU follows.
    """

    out: int
    kernel: int = 1
    stride: int = 1
    groups: int = 1
    relu: bool = False


@dataclass(frozen=True)
class Pool:
    """Pooling over a square window; padding keeps the size at stride 1."""

    kind: LayerKind
    kernel: int
    stride: int = 1


Steps = tuple[Conv | Pool, ...]
"""What an option does, in order; nothing (an identity) if empty."""


@dataclass(frozen=True)
class Slot:
    """A place in the network.

    Attributes:
        name: Unique in the space.
        options: Option name to what it does; None for no output at all (``none`` of NAS-Bench-201).
        inputs: Slots whose outputs it sums and reads, ``PICTURE`` among them; the slot before if empty.
        residual: Whether what it reads is added to its output: an empty option then leaves it as it is.
        relu: Whether a ReLU follows what it adds up.
        decision: Slots with one name of a decision choose together; the slot's own name if empty.
        otherwise: The slot it reads where none of its inputs has an output.

    Example:
        >>> Slot("stem", {"conv": (Conv(16, 3, relu=True),)}).fixed
        True
    """

    name: str
    options: Mapping[str, Steps | None]
    inputs: tuple[str, ...] = ()
    residual: bool = False
    relu: bool = False
    decision: str = ""
    otherwise: str = ""

    @property
    def fixed(self) -> bool:
        """Whether there is nothing to choose."""
        return len(self.options) == 1


def mbconv(channels: tuple[int, int], expansion: int, kernel: int, stride: int = 1) -> Steps:
    """A mobile inverted bottleneck (Sandler et al., CVPR 2018) without its addition.

    Example:
        >>> [conv.out for conv in mbconv((16, 24), 3, 5)]
        [48, 48, 24]
    """
    middle = expansion * channels[0]
    return (
        Conv(middle, relu=True),
        Conv(middle, kernel, stride, groups=0, relu=True),
        Conv(channels[1]),
    )


class SlotSpace(NetworkSpace):
    """The networks of a tuple of slots, an average pooling over the whole picture and a dense layer.

    The last slot is what the pooling reads.

    Raises:
        SettingsError: Names repeat, a slot reads a later one, or its options differ in their output's shape.
    """

    @property
    @abstractmethod
    def slots(self) -> tuple[Slot, ...]:
        """All slots, each after those it reads."""

    @cached_property
    def decisions(self) -> tuple[Decision, ...]:
        """One per slot with several options, less those shared."""
        found: dict[str, Decision] = {}
        for slot in self.slots:
            if not slot.fixed:
                name, options = slot.decision or slot.name, tuple(slot.options)
                if found.setdefault(name, Decision(name=name, options=options)).options != options:
                    raise SettingsError(f"slots of decision {name!r} must have equal options", got=options)
        return tuple(found.values())

    @cached_property
    def decision_of(self) -> dict[str, int | None]:
        """Per slot the index of its decision, None where it is fixed."""
        index = {decision.name: i for i, decision in enumerate(self.decisions)}
        return {slot.name: None if slot.fixed else index[slot.decision or slot.name] for slot in self.slots}

    @cached_property
    def inputs_of(self) -> dict[str, tuple[str, ...]]:
        """Per slot the slots it reads."""
        before = (PICTURE, *(slot.name for slot in self.slots))
        return {slot.name: slot.inputs or (before[i],) for i, slot in enumerate(self.slots)}

    @cached_property
    def shapes(self) -> dict[str, Shape]:
        """Output (channels, height, width) of every slot, and of the picture."""
        return self._walked[0]

    @cached_property
    def branches(self) -> dict[str, tuple[tuple[Layer, ...] | None, ...]]:
        """Per slot the layers of every option; the first reads nothing yet."""
        return self._walked[1]

    @cached_property
    def _walked(self) -> tuple[dict[str, Shape], dict[str, tuple[tuple[Layer, ...] | None, ...]]]:
        shapes: dict[str, Shape] = {PICTURE: self.picture}
        branches: dict[str, tuple[tuple[Layer, ...] | None, ...]] = {}
        for slot in self.slots:
            read = {shapes.get(name) for name in self.inputs_of[slot.name]}
            (shape,) = read if len(read) == 1 else (None,)
            if shape is None or slot.name in shapes:
                raise SettingsError(
                    f"slot {slot.name!r} must have a name of its own and read earlier slots of one shape",
                    got=self.inputs_of[slot.name],
                )
            made = [_layers(slot, option, steps, shape) for option, steps in slot.options.items()]
            written = {_written(layers, shape) for layers in made if layers is not None}
            if len(written) != 1 or (slot.residual and written != {shape}):
                raise SettingsError(
                    f"all options of slot {slot.name!r} must write one shape"
                    + (", the one it reads" if slot.residual else ""),
                    got=sorted(written),
                    fix="an identity where the shape changes is a 1x1 convolution",
                )
            branches[slot.name] = tuple(made)
            (shapes[slot.name],) = written
        return shapes, branches

    @cached_property
    def _rectified(self) -> dict[str, bool]:
        return {slot.name: slot.relu for slot in self.slots}

    def sums(self, slot: str, sources: Sequence[str]) -> tuple[Layer, ...]:
        """The additions before a slot that reads the outputs of several layers."""
        if len(sources) < 2:
            return ()
        shape, relu = self.shapes[self.inputs_of[slot][0]], self._rectified[slot]
        names = [f"{slot}.sum{index}" for index in range(1, len(sources))]
        pairs = zip([sources[0], *names], sources[1:], strict=False)
        return tuple(
            _addition(name, pair, shape, relu=relu and name == names[-1])
            for name, pair in zip(names, pairs, strict=True)
        )

    def head(self, source: str) -> tuple[Layer, ...]:
        """Average pooling over the whole picture and the dense layer."""
        channels, *size = self.shapes[self.slots[-1].name]
        window = (size[0], size[1])
        pool = Layer(
            name="avgpool",
            kind=LayerKind.AVG_POOL,
            channels=(channels, channels),
            size=window,
            kernel=window,
            stride=window,
            inputs=(source,),
        )
        dense = Layer(name="fc", kind=LayerKind.DENSE, channels=(channels, self.classes), inputs=("avgpool",))
        return pool, dense

    def workload(self, architecture: Architecture) -> Workload:
        """The network of an architecture: every layer that its output depends on."""
        layers = [layer for _, layer in self._placed(self.check(architecture))]
        needed = {layers[-1].name}
        kept: list[Layer] = []
        for layer in reversed(layers):
            if layer.name in needed:
                needed.update(layer.inputs)
                kept.append(layer)
        return Workload(name=f"{self.name}-{'.'.join(map(str, architecture))}", layers=tuple(kept[::-1]))

    def _placed(self, architecture: Architecture) -> list[tuple[int | None, Layer]]:
        """Every layer with the decision that brings it in."""
        carriers: dict[str, str | None] = {PICTURE: PICTURE}
        placed: list[tuple[int | None, Layer]] = []
        for slot in self.slots:
            decision = self.decision_of[slot.name]
            branch = self.branches[slot.name][0 if decision is None else architecture[decision]]
            sources = [s for name in self.inputs_of[slot.name] if (s := carriers[name]) is not None]
            if not sources and slot.otherwise:
                sources = [s for s in (carriers[slot.otherwise],) if s is not None]
            if not sources or (branch is None and not slot.residual):
                carriers[slot.name] = None
                continue
            added = self.sums(slot.name, sources)
            placed += [(None, layer) for layer in added]
            source = added[-1].name if added else sources[0]
            carriers[slot.name] = source
            if branch:
                layers = [replace(branch[0], inputs=(source,)), *branch[1:]]
                if slot.residual:
                    pair = (branch[-1].name, source)
                    layers.append(_addition(f"{slot.name}.add", pair, self.shapes[slot.name], relu=slot.relu))
                placed += [(decision, layer) for layer in layers]
                carriers[slot.name] = layers[-1].name
        last = carriers[self.slots[-1].name]
        if last is None:
            raise SettingsError(f"the last slot of space {self.name!r} must have an output", got=architecture)
        return [*placed, *((None, layer) for layer in self.head(last))]

    @cached_property
    def terms(self) -> tuple[LayerTerm, ...]:
        """One term per decision; what all networks share stands in the first.

        Raises:
            SettingsError: An option is None: then more than one decision says which layers run, and the
                space has to say which.
        """
        if any(steps is None for slot in self.slots for steps in slot.options.values()):
            raise SettingsError(f"space {self.name!r} has options without output and must define its terms")
        found = []
        for index, decision in enumerate(self.decisions):
            cells: dict[tuple[int, ...], tuple[Layer, ...]] = {}
            for option in range(len(decision.options)):
                architecture = tuple(option if d == index else 0 for d in range(len(self.decisions)))
                cells[(option,)] = tuple(
                    layer
                    for at, layer in self._placed(architecture)
                    if at == index or (at is None and index == 0)
                )
            found.append(LayerTerm(decisions=(index,), layers=cells))
        return tuple(found)


def _layers(slot: Slot, option: str, steps: Steps | None, shape: Shape) -> tuple[Layer, ...] | None:
    """The layers of an option, named after slot and option, reading one another."""
    if steps is None:
        return None
    layers: list[Layer] = []
    prefix = slot.name if slot.fixed else f"{slot.name}.{option}"
    for index, step in enumerate(steps, start=1):
        channels, size = shape[0], (shape[1], shape[2])
        conv = isinstance(step, Conv)
        layer = Layer(
            name=f"{prefix}.{'conv' if conv else 'pool'}{index}",
            kind=LayerKind.CONV if isinstance(step, Conv) else step.kind,
            channels=(channels, step.out if isinstance(step, Conv) else channels),
            size=size,
            kernel=(step.kernel, step.kernel),
            stride=(step.stride, step.stride),
            # An even window (2x2 at stride 2) needs no padding.
            padding=((step.kernel - 1) // 2, (step.kernel - 1) // 2),
            groups=(step.groups or channels) if isinstance(step, Conv) else 1,
            relu=isinstance(step, Conv) and step.relu,
            inputs=(layers[-1].name,) if layers else (),
        )
        layers.append(layer)
        shape = (layer.channels[1], *layer.output_size)
    return tuple(layers)


def _written(layers: tuple[Layer, ...], shape: Shape) -> Shape:
    return (layers[-1].channels[1], *layers[-1].output_size) if layers else shape


def _addition(name: str, pair: tuple[str, str], shape: Shape, *, relu: bool) -> Layer:
    return Layer(
        name=name,
        kind=LayerKind.ADD,
        channels=(shape[0], shape[0]),
        size=(shape[1], shape[2]),
        relu=relu,
        inputs=pair,
    )
