"""The analytical cost model: cycles and energy of layers on designs, as hulls over all mappings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, final

import numpy as np
import numpy.typing as npt

from rhnas.errors import SettingsError
from rhnas.platform import Cost
from rhnas.relaxation import RelaxableCostModel
from rhnas.space import DesignBatch
from rhnas.technology import technology_named
from rhnas.vta.cost_hulls import Hulls, in_threads, pieces_of
from rhnas.vta.cost_kernel import all_rows, evaluate_pairs, hull_rows, price_tiles
from rhnas.vta.cost_price import LAWS, Laws, LawsRecord, Price
from rhnas.vta.cost_stairs import CODES_AT, FIXED_EVENTS, SEARCH, fixed_energy
from rhnas.vta.energy import EVENTS, event_energy
from rhnas.vta.mapping import Mapping
from rhnas.vta.mapping_nest import BEST, UPSTREAM, nests_of
from rhnas.vta.rules import (
    ACC_BUFFER,
    BATCH,
    BLOCK_IN,
    BLOCK_OUT,
    BUS,
    INP_BUFFER,
    INT8_BITS,
    UOP_BUFFER,
    WGT_BUFFER,
    DerivedDepths,
    macs_per_cycle,
)
from rhnas.vta.timing import INSTRUCTION_BYTES, TimingProfile, profile_named
from rhnas.workload import FloatArray, IntArray, Layer, compulsory

SCHEDULES = {"best": BEST, "upstream": UPSTREAM}


@dataclass(frozen=True, kw_only=True)
class Breakdown:
    """What a mapping of one layer does.

    Attributes:
        cycles: Of the layer, modules overlapped.
        energy_pj: Of the layer.
        dram_read_bytes: Whole beats of inputs, weights, biases, micro-ops and instructions.
        dram_written_bytes: Whole beats of outputs.
        gemm_steps: Micro-ops executed by the GEMM core.
        alu_steps: Micro-ops executed by the ALU, and by GEMM resets.
        load_cycles: The load module's own.
        compute_cycles: The compute module's own.
        store_cycles: The store module's own.
        instructions: Of the layer.
        uops: Micro-ops loaded.
    """

    cycles: int
    energy_pj: float
    dram_read_bytes: int
    dram_written_bytes: int
    gemm_steps: int
    alu_steps: int
    load_cycles: int
    compute_cycles: int
    store_cycles: int
    instructions: int
    uops: int

    @classmethod
    def of(cls, nest: np.void, priced: Price, uops: int, event_pj: FloatArray, bus_bytes: int) -> Breakdown:
        """From the kernel's numbers."""
        counts = (
            priced.read_beats + priced.write_beats,
            priced.inp_fill,
            priced.wgt_fill,
            priced.acc_fill,
            priced.instructions,
            uops,
        )
        outputs = nest["out_h"] * nest["out_w"] * nest["groups_out"] * nest["lanes_out"]
        alu = nest["start_immediates"] + nest["start_resets"] + nest["end_immediates"] + nest["end_tensors"]
        taps = nest["kernel_h"] * nest["kernel_w"]
        return cls(
            cycles=int(priced.cycles),
            energy_pj=float(fixed_energy(nest, event_pj) + event_pj[FIXED_EVENTS:] @ np.array(counts)),
            dram_read_bytes=int(priced.read_beats * bus_bytes),
            dram_written_bytes=int(priced.write_beats * bus_bytes),
            gemm_steps=int(nest["steps"] * taps * nest["out_h"] * nest["out_w"]),
            alu_steps=int(outputs * alu),
            load_cycles=int(priced.load_cycles),
            compute_cycles=int(priced.compute_cycles),
            store_cycles=int(priced.store_cycles),
            instructions=int(priced.instructions),
            uops=int(uops),
        )


@final
class VtaCostModel(RelaxableCostModel):
    """Prices every mapping of every layer; see docs/cost-model.md.

    Args:
        technology: ``dosa40`` or ``horowitz45``.
        timing: ``rhnas`` or ``public``.
        schedule: ``best`` (our compiler) or ``upstream`` (TVM's schedule for ungrouped convolutions).

    Raises:
        SettingsError: A name is unknown.

    Example:
        >>> from rhnas.vta.spaces import DEFAULT
        >>> layer = Layer(name="conv", channels=(64, 64), size=(56, 56), kernel=(3, 3), padding=(1, 1))
        >>> model, batch = VtaCostModel(), DesignBatch.of(DEFAULT)
        >>> bool(model.evaluate(batch, [layer]).cycles.min() >= model.bounds(batch, [layer])[0, 0])
        True
    """

    def __init__(self, *, technology: str = "dosa40", timing: str = "rhnas", schedule: str = "best") -> None:
        if schedule not in SCHEDULES:
            raise SettingsError(f"schedule must be one of {sorted(SCHEDULES)}", got=schedule)
        self.technology = technology_named(technology)
        self.fingerprint = repr(self.technology)
        self.timing: TimingProfile = profile_named(timing)
        self.schedule, self._schedule = schedule, SCHEDULES[schedule]

    relaxable = (UOP_BUFFER, INP_BUFFER, WGT_BUFFER, ACC_BUFFER)

    def evaluate(self, batch: DesignBatch, layers: Sequence[Layer]) -> Cost:
        """Hulls over all mappings; equal layers and designs are priced once."""
        return self.relaxed(batch, batch, layers)

    def relaxed(self, low: DesignBatch, high: DesignBatch, layers: Sequence[Layer]) -> Cost:
        """Mappings that fit the larger scratchpads, at the energies of the smaller ones.

        A larger scratchpad holds every tile that a smaller one does and changes no mapping's cycles; an
        access to it costs no less. So no design between the two has a cheaper mapping.
        """
        batch = high
        shapes: dict[tuple[int, ...], int] = {}
        column = np.array([shapes.setdefault(layer.shape, len(shapes)) for layer in layers], dtype=np.int64)
        first = {shapes[layer.shape]: layer for layer in reversed(layers)}
        distinct = [first[index] for index in range(len(shapes))]
        costs = np.stack([side[key] for side in (low, high) for key in batch.columns], axis=1)
        _, representative, row = np.unique(costs, axis=0, return_index=True, return_inverse=True)
        event_pj = event_energy(self.technology, low.take(representative))
        hulls = self._hulls(batch.take(representative), distinct, event_pj)
        cycles, energy, mapped = hulls.spread(row.reshape(-1), column)
        launch = self.timing
        buses, bus_of = np.unique(batch[BUS], return_inverse=True)
        launch_cycles = np.array([launch.launch_cycles(int(bus)) for bus in buses], dtype=np.int64)
        return Cost(
            cycles=cycles,
            energy_pj=energy,
            mapped=mapped,
            launch_cycles=launch_cycles[bus_of.reshape(-1)],
            launch_energy_pj=self._launch_energy(low),
        )

    def bounds(self, batch: DesignBatch, layers: Sequence[Layer]) -> IntArray:
        """The largest of ``bound_terms``, (B, L)."""
        return np.asarray(self.bound_terms(batch, layers).max(axis=0))

    def bound_terms(self, batch: DesignBatch, layers: Sequence[Layer]) -> IntArray:
        """Cycles no schedule can beat: MACs / array, bytes read / bus, bytes written / bus, (3, B, L).

        Compulsory bytes are the weights, the input pixels that any output reads, and the outputs, each once.
        """
        array, bus = macs_per_cycle(batch)[:, None], batch[BUS][:, None] // INT8_BITS
        macs, read, written = np.array([compulsory(layer) for layer in layers], dtype=np.int64).T
        return np.stack([-(-macs // array), -(-read // bus), -(-written // bus)])

    def mappings(self, batch: DesignBatch, layers: Sequence[Layer], mu: float) -> list[dict[str, Any]]:
        """The mapping of each layer on one design that minimises ``cycles + mu * energy_pj``.

        Args:
            batch: One design.
            layers: L layers.
            mu: Cycles per pJ; ``inf`` minimises energy.

        Returns:
            Per layer ``text``, the fields of ``Mapping`` and of ``breakdown``; empty where nothing fits.
        """
        found = [self.best_mapping(batch, layer, mu) for layer in layers]
        return [
            {} if best is None else {"text": str(best[0])} | best[0].to_json() | asdict(best[1])
            for best in found
        ]

    def best_mapping(self, batch: DesignBatch, layer: Layer, mu: float) -> tuple[Mapping, Breakdown] | None:
        """The mapping of one layer on one design that minimises ``cycles + mu * energy_pj``.

        Args:
            batch: One design.
            layer: The layer.
            mu: Cycles per pJ; ``inf`` minimises energy.

        Returns:
            The mapping and what it does; None where nothing fits.
        """
        nests = nests_of([layer], arrays_of(batch), self._schedule)[0, 0]
        laws = self._laws(batch)
        event_pj = event_energy(self.technology, batch)[0]
        rows, energy = hull_rows(nests, laws, room_of(batch)[0], event_pj, workspace())
        if len(rows) == 0:
            return None
        score = energy if np.isinf(mu) else rows[:, 0] + mu * energy
        mapping = Mapping.of_codes(rows[int(score.argmin()), CODES_AT:])
        return mapping, self.breakdown(batch, layer, mapping)

    def ranked_mappings(
        self, batch: DesignBatch, layer: Layer, mu: float, count: int
    ) -> list[tuple[Mapping, int, float]]:
        """The mappings of one layer on one design with the least ``cycles + mu * energy_pj``.

        Args:
            batch: One design.
            layer: The layer.
            mu: Cycles per pJ; ``inf`` ranks by energy.
            count: How many.

        Returns:
            (mapping, cycles, energy_pj), best first; of equal ones those of fewer cycles first.
        """
        nests = nests_of([layer], arrays_of(batch), self._schedule)[0, 0]
        laws, event_pj = self._laws(batch), event_energy(self.technology, batch)[0]
        rows, energy = all_rows(nests, laws, room_of(batch)[0], event_pj, workspace())
        score = energy if np.isinf(mu) else rows[:, 0] + mu * energy
        chosen = np.lexsort((rows[:, 0], score))[:count]
        return [(Mapping.of_codes(rows[at, CODES_AT:]), int(rows[at, 0]), float(energy[at])) for at in chosen]

    def breakdown(self, batch: DesignBatch, layer: Layer, mapping: Mapping) -> Breakdown:
        """What one given mapping costs on one design, whether or not it fits.

        Args:
            batch: One design.
            layer: The layer.
            mapping: As ``best_mapping`` gives it, or anybody's tiles.
        """
        nests = nests_of([layer], arrays_of(batch), self._schedule)[0, 0]
        laws = self._laws(batch)
        codes = np.array(mapping.codes, dtype=np.int64)
        priced, needs = price_tiles(nests, laws, codes)
        return Breakdown.of(
            nests[codes[0]], priced, needs[3], event_energy(self.technology, batch)[0], int(laws["bus"])
        )

    def _laws(self, batch: DesignBatch) -> LawsRecord:
        """Timing laws of one design."""
        return Laws.of(self.timing, int(batch[BUS][0])).record

    def _hulls(self, batch: DesignBatch, layers: Sequence[Layer], event_pj: FloatArray) -> Hulls:
        """Hulls of distinct designs and layers.

        Args:
            batch: D designs, whose scratchpads the mappings fit.
            layers: L layers.
            event_pj: Energy of each event on them, float64 (D, events).
        """
        arrays, array_of = np.unique(arrays_of(batch), axis=0, return_inverse=True)
        buses, bus_of = np.unique(batch[BUS], return_inverse=True)
        laws = np.array([tuple(Laws.of(self.timing, int(bus))) for bus in buses], dtype=LAWS)
        group_of = array_of.reshape(-1) * len(buses) + bus_of.reshape(-1)
        order = np.argsort(group_of, kind="stable")
        present, first, sizes = np.unique(group_of[order], return_index=True, return_counts=True)
        groups = np.stack([present // len(buses), present % len(buses), first, first + sizes], axis=1)
        nests, column = _distinct_nests(nests_of(layers, arrays, self._schedule))
        room, event_pj = room_of(batch)[order], event_pj[order]
        shape = len(batch), nests.shape[1]
        begins, found = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
        chunks = pieces_of(len(groups) * nests.shape[1])

        def search(chunk: IntArray) -> tuple[IntArray, FloatArray]:
            pairs = nests, laws, groups.astype(np.int64), room, event_pj, chunk
            return evaluate_pairs(*pairs, begins, found, workspace())

        parts = in_threads(search, chunks)
        ahead = np.zeros((len(groups), nests.shape[1]), dtype=np.int64)
        for chunk, start in zip(chunks, np.cumsum([0, *(len(part[0]) for part in parts)]), strict=False):
            ahead.reshape(-1)[chunk] = start
        begins += np.repeat(ahead, sizes, axis=0)
        cycles, energy = (np.concatenate(points) for points in zip(*parts, strict=True))
        return Hulls((cycles, energy), begins, found, np.argsort(order), column)

    def _launch_energy(self, batch: DesignBatch) -> FloatArray:
        """Energy of fetching FINISH, pJ, (B,)."""
        event_pj = event_energy(self.technology, batch)
        beats = -(-INSTRUCTION_BYTES * INT8_BITS // batch[BUS])
        instruction = event_pj[:, EVENTS.index("instructions")]
        return np.asarray(beats * event_pj[:, EVENTS.index("beats")] + instruction)


def _distinct_nests(nests: npt.NDArray[np.void]) -> tuple[npt.NDArray[np.void], IntArray]:
    """Nests (N, L, FORMS) without repetition of a layer, and which of them each layer has, int64 (L,).

    Layers of different shape may run alike: a ReLU is a clip from 0.
    """
    known: dict[bytes, int] = {}
    column = [known.setdefault(nests[:, layer].tobytes(), len(known)) for layer in range(nests.shape[1])]
    first = np.unique(column, return_index=True)[1]
    return np.ascontiguousarray(nests[:, first]), np.array(column, dtype=np.int64)


def workspace() -> npt.NDArray[np.void]:
    """Room for one search at a time."""
    return np.empty(1, dtype=SEARCH)


def arrays_of(batch: DesignBatch) -> IntArray:
    """LOG_BATCH, LOG_BLOCK_IN and LOG_BLOCK_OUT of a batch, int64 (B, 3)."""
    return np.stack([batch[BATCH], batch[BLOCK_IN], batch[BLOCK_OUT]], axis=1)


def room_of(batch: DesignBatch) -> IntArray:
    """Depths of inp, wgt, acc and uop in tensors, int64 (B, 4)."""
    depth = DerivedDepths.of(batch)
    return np.int64(1) << np.stack([depth.inp, depth.wgt, depth.acc, depth.uop], axis=1)
