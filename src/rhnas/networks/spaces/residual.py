"""A family of residual network spaces: searched widths, depths and block operations, without torch.

A network is a stem, stages of residual blocks, average pooling and a dense layer. The first block of a
stage may change width and resolution; its shortcut is then a 1x1 convolution, everywhere else it is the
identity. A stage of depth d runs its first d blocks, the others are skipped.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from math import gcd

from rhnas.errors import SettingsError
from rhnas.networks.spaces.base import Architecture, Decision, LayerTerm, NetworkSpace
from rhnas.workload import PICTURE, Layer, LayerKind, Workload

Cells = dict[tuple[int, ...], tuple[Layer, ...]]

GROUP_WIDTH = 8
"""Channels per group that a grouped block aims for; every width of a space is a multiple of it."""


@dataclass(frozen=True, kw_only=True)
class BlockShape:
    """Where a block stands: its name, what it reads, and the shapes it must turn into one another.

    Attributes:
        name: Prefix of its layers' names.
        source: Name of the layer it reads.
        channels: (in, out).
        size: Input (height, width).
        stride: Of the block, both directions.
    """

    name: str
    source: str
    channels: tuple[int, int]
    size: tuple[int, int]
    stride: int

    @property
    def output_size(self) -> tuple[int, int]:
        """Output (height, width)."""
        return -(-self.size[0] // self.stride), -(-self.size[1] // self.stride)


@dataclass(frozen=True)
class _Conv:
    """One convolution of a residual branch."""

    out: int
    kernel: int
    stride: int = 1
    groups: int = 1


def _dense(cin: int, cout: int, stride: int) -> tuple[_Conv, ...]:
    return (_Conv(cout, 3, stride),)


def _bottleneck(cin: int, cout: int, stride: int) -> tuple[_Conv, ...]:
    middle = cout // 2
    return _Conv(middle, 1), _Conv(middle, 3, stride), _Conv(cout, 1)


def _fused(cin: int, cout: int, stride: int) -> tuple[_Conv, ...]:
    return _Conv(2 * cin, 3, stride), _Conv(cout, 1)


def _inverted(cin: int, cout: int, stride: int) -> tuple[_Conv, ...]:
    middle = 3 * cin
    return _Conv(middle, 1), _Conv(middle, 3, stride, middle), _Conv(cout, 1)


def _grouped(cin: int, cout: int, stride: int) -> tuple[_Conv, ...]:
    return _Conv(cout, 3, stride, gcd(cin, cout) // GROUP_WIDTH), _Conv(cout, 1)


BRANCHES: dict[str, Callable[[int, int, int], tuple[_Conv, ...]]] = {
    "dense": _dense,
    "bottleneck": _bottleneck,
    "fused_e2": _fused,
    "inverted_e3_k3": _inverted,
    "grouped": _grouped,
}
"""Block operations: (input width, output width, stride) to the convolutions of the residual branch.

``e`` is the expansion over the input width, ``k`` the depthwise kernel. A ReLU follows every convolution
but the last, whose ReLU follows the residual addition.
"""


def block_layers(op: str, shape: BlockShape) -> tuple[Layer, ...]:
    """The layers of one residual block: the branch, the shortcut where shapes differ, the addition.

    Args:
        op: A key of ``BRANCHES``.
        shape: Where the block stands.

    Example:
        >>> shape = BlockShape(name="b", source="stem", channels=(16, 32), size=(8, 8), stride=2)
        >>> [layer.name for layer in block_layers("fused_e2", shape)]
        ['b.conv1', 'b.conv2', 'b.shortcut', 'b.add']
    """
    cin, cout = shape.channels
    convs = BRANCHES[op](cin, cout, shape.stride)
    layers: list[Layer] = []
    source, channels, size = shape.source, cin, shape.size
    for index, conv in enumerate(convs, start=1):
        layer = Layer(
            name=f"{shape.name}.conv{index}",
            channels=(channels, conv.out),
            size=size,
            kernel=(conv.kernel, conv.kernel),
            stride=(conv.stride, conv.stride),
            padding=(conv.kernel // 2, conv.kernel // 2),
            groups=conv.groups,
            relu=index < len(convs),
            inputs=(source,),
        )
        layers.append(layer)
        source, channels, size = layer.name, conv.out, layer.output_size
    shortcut = shape.source
    if cin != cout or shape.stride != 1:
        shortcut = f"{shape.name}.shortcut"
        layers.append(
            Layer(
                name=shortcut,
                channels=(cin, cout),
                size=shape.size,
                stride=(shape.stride, shape.stride),
                inputs=(shape.source,),
            )
        )
    addition = Layer(
        name=f"{shape.name}.add",
        kind=LayerKind.ADD,
        channels=(cout, cout),
        size=size,
        relu=True,
        inputs=(source, shortcut),
    )
    return (*layers, addition)


@dataclass(frozen=True, kw_only=True)
class StageSettings:
    """One stage: its candidate widths and depths, and the stride of its first block."""

    widths: tuple[int, ...]
    depths: tuple[int, ...]
    stride: int = 1

    def __post_init__(self) -> None:
        if min(self.depths, default=0) < 1 or self.stride < 1:
            raise SettingsError("a stage's depths and stride must be at least 1", got=self)
        if min(self.widths, default=0) < 1 or any(width % GROUP_WIDTH for width in self.widths):
            raise SettingsError(f"a stage's widths must be multiples of {GROUP_WIDTH}", got=self.widths)


@dataclass(frozen=True, kw_only=True)
class ResidualSettings:
    """Everything that defines a residual space.

    Attributes:
        name: The space's name.
        picture: Input (channels, height, width).
        classes: Outputs of the final dense layer.
        stem_widths: Candidate widths of the first 3x3 convolution.
        stem_pool: Whether a 2x2 max pooling follows the stem.
        stages: The stages, in order.
        ops: Candidate operations of every block, keys of ``BRANCHES``.
    """

    name: str
    picture: tuple[int, int, int]
    classes: int
    stem_widths: tuple[int, ...]
    stem_pool: bool = False
    stages: tuple[StageSettings, ...]
    ops: tuple[str, ...]

    def __post_init__(self) -> None:
        unknown = [op for op in self.ops if op not in BRANCHES]
        if unknown or not self.ops:
            raise SettingsError(f"ops must be some of {sorted(BRANCHES)}", got=self.ops)
        if not self.stages:
            raise SettingsError("a residual space must have at least one stage", got=self.stages)
        if min(self.stem_widths, default=0) < 1 or any(width % GROUP_WIDTH for width in self.stem_widths):
            raise SettingsError(f"stem widths must be multiples of {GROUP_WIDTH}", got=self.stem_widths)


@dataclass(frozen=True, kw_only=True)
class StageDecisions:
    """Where a stage's decisions stand in an architecture."""

    source_width: int
    width: int
    depth: int
    ops: tuple[int, ...]


class ResidualSpace(NetworkSpace):
    """The networks of a ``ResidualSettings``.

    Example:
        >>> stage = StageSettings(widths=(8, 16), depths=(1, 2))
        >>> settings = ResidualSettings(
        ...     name="tiny", picture=(1, 8, 8), classes=10, stem_widths=(8,), stages=(stage,),
        ...     ops=("dense", "grouped"),
        ... )
        >>> space = ResidualSpace(settings)
        >>> space.describe((0, 1, 0, 0, 0))["stage1.width"]
        '16'
    """

    def __init__(self, settings: ResidualSettings) -> None:
        self.settings = settings
        self.name = settings.name
        self.picture = settings.picture
        self.classes = settings.classes

    @cached_property
    def decisions(self) -> tuple[Decision, ...]:
        """Stem width, then per stage its width, its depth and the op of each block."""
        found = [Decision(name="stem.width", options=_texts(self.settings.stem_widths))]
        for stage, options in enumerate(self.settings.stages, start=1):
            found.append(Decision(name=f"stage{stage}.width", options=_texts(options.widths)))
            found.append(Decision(name=f"stage{stage}.depth", options=_texts(options.depths)))
            found += [
                Decision(name=f"stage{stage}.block{block}.op", options=self.settings.ops)
                for block in range(1, max(options.depths) + 1)
            ]
        return tuple(found)

    @cached_property
    def stages(self) -> tuple[StageDecisions, ...]:
        """Indices of every stage's decisions."""
        found: list[StageDecisions] = []
        source, following = 0, 1
        for options in self.settings.stages:
            width = following
            following = width + 2 + max(options.depths)
            ops = tuple(range(width + 2, following))
            found.append(StageDecisions(source_width=source, width=width, depth=width + 1, ops=ops))
            source = width
        return tuple(found)

    @cached_property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """Picture (height, width) each stage reads, and last what the average pooling reads."""
        size = self.stem(self.settings.stem_widths[0])[-1].output_size
        found = [size]
        for options in self.settings.stages:
            size = (-(-size[0] // options.stride), -(-size[1] // options.stride))
            found.append(size)
        return tuple(found)

    def stem(self, width: int) -> tuple[Layer, ...]:
        """The first convolution and, where the space has one, its pooling."""
        depth, *size = self.picture
        convolution = Layer(
            name="stem",
            channels=(depth, width),
            size=(size[0], size[1]),
            kernel=(3, 3),
            padding=(1, 1),
            relu=True,
            inputs=(PICTURE,),
        )
        if not self.settings.stem_pool:
            return (convolution,)
        pool = Layer(
            name="maxpool",
            kind=LayerKind.MAX_POOL,
            channels=(width, width),
            size=convolution.output_size,
            kernel=(2, 2),
            stride=(2, 2),
            inputs=("stem",),
        )
        return convolution, pool

    def block(
        self, stage: int, block: int, op: str, channels: tuple[int, int], source: str | None = None
    ) -> tuple[Layer, ...]:
        """The layers of one block.

        Args:
            stage: From 0.
            block: From 0 within the stage.
            op: One of the space's operations.
            channels: (in, out) channels.
            source: The layer it reads; the block before it in networks of greatest depth if None.
        """
        if source is None:
            source = self._source(stage, block)
        return block_layers(
            op,
            BlockShape(
                name=f"stage{stage + 1}.block{block + 1}",
                source=source,
                channels=channels,
                size=self.sizes[stage] if block == 0 else self.sizes[stage + 1],
                stride=self.settings.stages[stage].stride if block == 0 else 1,
            ),
        )

    def _source(self, stage: int, block: int) -> str:
        if block > 0:
            return f"stage{stage + 1}.block{block}.add"
        if stage > 0:
            return f"stage{stage}.block{max(self.settings.stages[stage - 1].depths)}.add"
        return "maxpool" if self.settings.stem_pool else "stem"

    def head(self, width: int, source: str) -> tuple[Layer, ...]:
        """Average pooling over the whole picture and the dense layer."""
        size = self.sizes[-1]
        pool = Layer(
            name="avgpool",
            kind=LayerKind.AVG_POOL,
            channels=(width, width),
            size=size,
            kernel=size,
            stride=size,
            inputs=(source,),
        )
        dense = Layer(name="fc", kind=LayerKind.DENSE, channels=(width, self.classes), inputs=("avgpool",))
        return pool, dense

    def widths(self, architecture: Architecture) -> tuple[int, ...]:
        """The stem's width, then every stage's."""
        stem = self.settings.stem_widths[architecture[0]]
        options = zip(self.settings.stages, self.stages, strict=True)
        return (stem, *(stage.widths[architecture[at.width]] for stage, at in options))

    def blocks(self, architecture: Architecture) -> Iterator[tuple[int, int, str, tuple[int, int]]]:
        """The blocks that run: (stage, block, op, (in, out) channels), in order, stage and block from 0."""
        widths = self.widths(architecture)
        for index, (stage, at) in enumerate(zip(self.settings.stages, self.stages, strict=True)):
            for block in range(stage.depths[architecture[at.depth]]):
                read = widths[index] if block == 0 else widths[index + 1]
                yield index, block, self.settings.ops[architecture[at.ops[block]]], (read, widths[index + 1])

    def workload(self, architecture: Architecture) -> Workload:
        """The network of an architecture as a workload."""
        self.check(architecture)
        widths = self.widths(architecture)
        layers = [*self.stem(widths[0])]
        for stage, block, op, channels in self.blocks(architecture):
            layers += self.block(stage, block, op, channels, source=layers[-1].name)
        layers += self.head(widths[-1], source=layers[-1].name)
        return Workload(name=f"{self.name}-{'.'.join(map(str, architecture))}", layers=tuple(layers))

    @cached_property
    def terms(self) -> tuple[LayerTerm, ...]:
        """The stem; per block what its widths, op and its stage's depth bring in; the head."""
        stems: Cells = {(index,): self.stem(width) for index, width in enumerate(self.settings.stem_widths)}
        found = [LayerTerm(decisions=(0,), layers=stems)]
        for stage, at in enumerate(self.stages):
            found.append(self._first_block_term(stage, at))
            found += [self._later_block_term(stage, at, block) for block in range(1, len(at.ops))]
        last = self.settings.stages[-1]
        source = self._source(len(self.stages) - 1, max(last.depths))
        heads: Cells = {(index,): self.head(width, source) for index, width in enumerate(last.widths)}
        return (*found, LayerTerm(decisions=(self.stages[-1].width,), layers=heads))

    def _first_block_term(self, stage: int, at: StageDecisions) -> LayerTerm:
        """Of (previous width, width, op)."""
        before = self.settings.stages[stage - 1].widths if stage else self.settings.stem_widths
        widths = self.settings.stages[stage].widths
        cells: Cells = {
            (i, j, k): self.block(stage, 0, op, (cin, cout))
            for (i, cin), (j, cout), (k, op) in itertools.product(
                enumerate(before), enumerate(widths), enumerate(self.settings.ops)
            )
        }
        return LayerTerm(decisions=(at.source_width, at.width, at.ops[0]), layers=cells)

    def _later_block_term(self, stage: int, at: StageDecisions, block: int) -> LayerTerm:
        """Of (width, depth, op); empty where the depth does not reach the block."""
        settings = self.settings.stages[stage]
        cells: Cells = {
            (i, j, k): self.block(stage, block, op, (width, width)) if block < depth else ()
            for (i, width), (j, depth), (k, op) in itertools.product(
                enumerate(settings.widths), enumerate(settings.depths), enumerate(self.settings.ops)
            )
        }
        return LayerTerm(decisions=(at.width, at.depth, at.ops[block]), layers=cells)


def _texts(values: tuple[int, ...]) -> tuple[str, ...]:
    return tuple(str(value) for value in values)
