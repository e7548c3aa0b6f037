"""The space ``nasbench201``: NAS-Bench-201 (Dong and Yang, ICLR 2020), 15,625 cells for CIFAR-10.

One cell of four nodes is repeated in three stages of five; each of its six edges chooses one of five
operations, and a node is the sum of its edges. ``none`` has no output. What only reads such nothing, and what
nothing reads, is not part of the workload; a cell without any way through passes its input on, as no layer
of an accelerator makes a constant. Convolutions rectify after normalisation, where the benchmark rectifies
before: multiply-accumulates and weights are the same.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import cached_property, partial

from rhnas.networks.spaces.base import Architecture, LayerTerm
from rhnas.networks.spaces.slots import Conv, Pool, Slot, SlotSpace, Steps
from rhnas.workload import Layer, LayerKind

WIDTHS = (16, 32, 64)
CELLS = 5
"""Per stage."""
OPS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
NONE = 0
EDGES = ((1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2))
"""(node, the node it reads), in the order of the benchmark's strings and of ``nasbench201.npz``."""


def cell_options(width: int) -> dict[str, Steps | None]:
    """The five operations at one width."""
    steps: tuple[Steps | None, ...] = (
        None,
        (),
        (Conv(width, relu=True),),
        (Conv(width, 3, relu=True),),
        (Pool(LayerKind.AVG_POOL, 3),),
    )
    return dict(zip(OPS, steps, strict=True))


def alive(architecture: Architecture) -> tuple[bool, ...]:
    """Per edge whether it lies on a way from the cell's input to its output.

    Example:
        >>> alive((1, 0, 1, 0, 0, 1))  # 0 -> 1 -> 2 -> 3
        (True, False, True, False, False, True)
    """
    open_edges = [edge for edge, option in zip(EDGES, architecture, strict=True) if option != NONE]
    reached, useful = {0}, {3}
    for node, source in open_edges:
        if source in reached:
            reached.add(node)
    for node, source in reversed(open_edges):
        if node in useful:
            useful.add(source)
    return tuple(
        option != NONE and source in reached and node in useful
        for (node, source), option in zip(EDGES, architecture, strict=True)
    )


def deciding(edge: int) -> tuple[int, ...]:
    """Edges on whose options it depends whether an edge is alive: itself, all before it and all after it."""
    before, after, found = {EDGES[edge][1]}, {EDGES[edge][0]}, {edge}
    for index, (node, source) in reversed(list(enumerate(EDGES))):
        if node in before:
            before.add(source)
            found.add(index)
    for index, (node, source) in enumerate(EDGES):
        if source in after:
            after.add(node)
            found.add(index)
    return tuple(sorted(found))


class NasBench201(SlotSpace):
    """NAS-Bench-201's cells on CIFAR-10.

    Example:
        >>> NasBench201().workload((3,) * 6).macs  # published: 220.11969 M with the classifier's 10 biases
        220119680
    """

    name = "nasbench201"
    picture = (3, 32, 32)
    classes = 10

    @cached_property
    def slots(self) -> tuple[Slot, ...]:
        """Stem; per stage a residual reduction (but for the first) and five cells of six edges."""
        found = [Slot("stem", {"conv": (Conv(WIDTHS[0], 3),)})]
        for stage, width in enumerate(WIDTHS, start=1):
            if stage > 1:
                found += _reduction(f"reduce{stage}", found[-1].name, width)
            for cell in range(1, CELLS + 1):
                found += _cell(f"stage{stage}.cell{cell}", found[-1].name, width)
        return tuple(found)

    @cached_property
    def terms(self) -> tuple[LayerTerm, ...]:
        """Per edge its layers in all cells; per node its additions; the rest stands in the first term."""
        cells = [f"stage{s}.cell{c}" for s in range(1, len(WIDTHS) + 1) for c in range(1, CELLS + 1)]
        shared = tuple(layer for decision, layer in self._placed((NONE,) * len(EDGES)) if decision is None)
        found = [LayerTerm(decisions=(0,), layers={(option,): shared for option in range(len(OPS))})]
        for edge in range(len(EDGES)):
            of_edge = [self.branches[_edge_name(cell, edge)] for cell in cells]
            by_option = [tuple(layer for b in of_edge for layer in b[op] or ()) for op in range(len(OPS))]
            found.append(_term(deciding(edge), partial(_edge_layers, edge, by_option)))
        for node in (2, 3):
            edges = [edge for edge, (target, _) in enumerate(EDGES) if target == node]
            by_count = [
                tuple(a for cell in cells for a in self.sums(f"{cell}.node{node}", ("",) * count))
                for count in range(len(edges) + 1)
            ]
            scope = sorted({decision for edge in edges for decision in deciding(edge)})
            found.append(_term(tuple(scope), partial(_node_layers, edges, by_count)))
        return tuple(found)


class NasBench201Imagenet16(NasBench201):
    """The same cells on ImageNet16-120: 120 classes of ImageNet at 16x16 pixels.

    Example:
        >>> 4 * NasBench201Imagenet16().workload((3,) * 6).macs - NasBench201().workload((3,) * 6).macs
        30080
    """

    name = "nasbench201-imagenet16"
    picture = (3, 16, 16)
    classes = 120


Layers = tuple[Layer, ...]


def _edge_layers(edge: int, by_option: list[Layers], cell: Architecture) -> Layers:
    return by_option[cell[edge]] if alive(cell)[edge] else ()


def _node_layers(edges: list[int], by_count: list[Layers], cell: Architecture) -> Layers:
    ways = alive(cell)
    return by_count[sum(ways[edge] for edge in edges)]


def _term(scope: tuple[int, ...], layers: Callable[[Architecture], Layers]) -> LayerTerm:
    """A term of the decisions in scope, from a function of a cell that no other decision matters to."""
    cells: dict[tuple[int, ...], Layers] = {}
    for options in itertools.product(range(len(OPS)), repeat=len(scope)):
        chosen = dict(zip(scope, options, strict=True))
        cells[options] = layers(tuple(chosen.get(edge, NONE) for edge in range(len(EDGES))))
    return LayerTerm(decisions=scope, layers=cells)


def _edge_name(cell: str, edge: int) -> str:
    node, source = EDGES[edge]
    return f"{cell}.edge{node}{source}"


def _cell(name: str, before: str, width: int) -> list[Slot]:
    """Six edges and three nodes; the last node is the cell's output."""
    nodes, slots = {0: before}, []
    for node in (1, 2, 3):
        edges = [edge for edge, (target, _) in enumerate(EDGES) if target == node]
        for edge in edges:
            place = f"edge{node}{EDGES[edge][1]}"
            read = (nodes[EDGES[edge][1]],)
            slots.append(Slot(_edge_name(name, edge), cell_options(width), inputs=read, decision=place))
        nodes[node] = f"{name}.node{node}"
        names = tuple(_edge_name(name, edge) for edge in edges)
        slots.append(Slot(nodes[node], {"sum": ()}, inputs=names, otherwise=before if node == 3 else ""))
    return slots


def _reduction(name: str, before: str, width: int) -> list[Slot]:
    """A residual block that halves the resolution; its shortcut is an average pooling and a 1x1."""
    branch = (Conv(width, 3, 2, relu=True), Conv(width, 3))
    return [
        Slot(f"{name}.branch", {"conv": branch}, inputs=(before,)),
        Slot(f"{name}.shortcut", {"conv": (Pool(LayerKind.AVG_POOL, 2, 2), Conv(width))}, inputs=(before,)),
        Slot(name, {"sum": ()}, inputs=(f"{name}.branch", f"{name}.shortcut"), relu=True),
    ]
