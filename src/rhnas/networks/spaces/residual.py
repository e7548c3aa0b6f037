"""A family of residual network spaces: searched widths, depths and block operations, without torch.

A network is a stem, stages of residual blocks, average pooling and a dense layer. The first block of a
stage may change width and resolution; its shortcut is then a 1x1 convolution, everywhere else it is the
identity. With ``linear`` blocks are those of MobileNetV2: no shortcut where the shape changes, and no ReLU
after an addition. A stage of depth d runs its first d blocks, the others are skipped.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from rhnas.errors import SettingsError
from rhnas.networks.spaces.base import Architecture, Decision, LayerTerm, NetworkSpace
from rhnas.networks.spaces.blocks import BRANCHES, GROUP_WIDTH, BlockShape, block_layers, separable_layers
from rhnas.workload import PICTURE, Layer, LayerKind, Workload

Cells = dict[tuple[int, ...], tuple[Layer, ...]]


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
        stem_stride: Of the stem's first convolution.
        stem_separable: Channels of that convolution where a depthwise separable one leads from it to the
            stem's width (MobileNetV2's first block); None where it has the stem's width itself.
        stages: The stages, in order.
        ops: Candidate operations of every block, keys of ``BRANCHES``.
        linear: Whether blocks are linear bottlenecks: added only where shapes agree, and not rectified.
        head_width: Channels of a 1x1 convolution before the average pooling; None for none.
    """

    name: str
    picture: tuple[int, int, int]
    classes: int
    stem_widths: tuple[int, ...]
    stem_pool: bool = False
    stem_stride: int = 1
    stem_separable: int | None = None
    stages: tuple[StageSettings, ...]
    ops: tuple[str, ...]
    linear: bool = False
    head_width: int | None = None

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

    def with_classes(self, classes: int) -> ResidualSpace:
        """The same space for another number of classes."""
        return ResidualSpace(replace(self.settings, classes=classes))

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
        """The first convolution and, where the space has them, a separable one and a pooling."""
        settings = self.settings
        depth, *size = self.picture
        layers = [
            Layer(
                name="stem",
                channels=(depth, settings.stem_separable or width),
                size=(size[0], size[1]),
                kernel=(3, 3),
                stride=(settings.stem_stride, settings.stem_stride),
                padding=(1, 1),
                relu=True,
                inputs=(PICTURE,),
            )
        ]
        if settings.stem_separable:
            layers += separable_layers("stem", (settings.stem_separable, width), layers[0].output_size)
        if settings.stem_pool:
            layers.append(
                Layer(
                    name="maxpool",
                    kind=LayerKind.MAX_POOL,
                    channels=(width, width),
                    size=layers[-1].output_size,
                    kernel=(2, 2),
                    stride=(2, 2),
                    inputs=(layers[-1].name,),
                )
            )
        return tuple(layers)

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
            linear=self.settings.linear,
        )

    def _source(self, stage: int, block: int) -> str:
        if block > 0:
            return f"stage{stage + 1}.block{block}.add"
        if stage > 0:
            return f"stage{stage}.block{max(self.settings.stages[stage - 1].depths)}.add"
        return self.stem(self.settings.stem_widths[0])[-1].name

    def head(self, width: int, source: str) -> tuple[Layer, ...]:
        """The 1x1 convolution where the space has one, average pooling over all pixels, the dense layer."""
        size = self.sizes[-1]
        layers: list[Layer] = []
        if self.settings.head_width:
            channels = (width, self.settings.head_width)
            layers.append(Layer(name="head", channels=channels, size=size, relu=True, inputs=(source,)))
            source, width = "head", self.settings.head_width
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
        return (*layers, pool, dense)

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
