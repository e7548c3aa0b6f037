"""The instruction stream of a layer on the GEMM core."""

from __future__ import annotations

from rhnas.vta.isa import AluOp, Memory
from rhnas.vta.lower.activations import Place, Stored, read_tile, write_tile
from rhnas.vta.lower.boundary import Joint, Tail, tail_of
from rhnas.vta.lower.epilogue import channel_dims, starts, tile_dims
from rhnas.vta.lower.kernels import Dim, Index, Item, alu, gemm
from rhnas.vta.lower.matrix import MatrixLayer
from rhnas.vta.lower.memory import MemoryMap
from rhnas.vta.lower.products import Part, Planes, dense_parts, diagonal_parts
from rhnas.vta.lower.stream import Block, Padding, Stream, loads, relay
from rhnas.vta.lower.tiles import Region, Step, require_room


class MatrixSchedule:
    """Writes the stream of a matrix layer.

    A step whose inputs or weights are not on chip begins with loads, which post one token when done; the
    compute module posts one back when it has done all that uses them. With two threads, loads run ahead by
    one such step into the other half.
    """

    def __init__(self, layer: MatrixLayer) -> None:
        self.layer = layer
        self.n, self.config = layer.numbers, layer.config
        self.joint: Joint | None = None
        self._plan()

    def _plan(self) -> None:
        """Which steps load what, and where everything lies on chip."""
        layer, n = self.layer, self.n
        inputs = [(step.pixels, layer.reads(step)) for step in layer.steps]
        weights = [layer.weight_key(step) for step in layer.steps]
        first, always = range(len(inputs)), layer.upstream
        self.loads_inputs = [always or i == 0 or inputs[i] != inputs[i - 1] for i in first]
        self.loads_weights = [always or i == 0 or weights[i] != weights[i - 1] for i in first]
        self.plane_inp = n["lanes_in"] * max(
            step.pixels.rows.reads.extent * step.pixels.columns.reads.extent for step in layer.steps
        )
        self.operand = self.plane_inp * max(reads.groups for _, reads in inputs)
        self.tiles = len(layer.steps) // layer.steps[-1].reductions
        self.inp = Region(0, self.operand * n["operands"], self._halves(sum(self.loads_inputs)))
        largest = max(len(tile) for tile in layer.weights.values())
        self.wgt = Region(0, largest, self._halves(sum(self.loads_weights)))
        self.acc = layer.accumulators
        room = self.config.acc_depth - self.acc.end - layer.channel_tensors * layer.tables
        resident = layer.uniform or layer.mapping.order == "pixels outer" or room >= 0
        self.all_resident = resident and not layer.upstream
        groups = n["groups_out"] if self.all_resident else layer.mapping.tile_co
        self.resident = 1 if layer.uniform else groups * n["lanes_out"]
        self.constant_channels: int | None = None
        for memory, end, depth in (
            ("input", self.inp.end, self.config.inp_depth),
            ("weight", self.wgt.end, self.config.wgt_depth),
            ("accumulator", self.acc.end + self.resident * layer.tables, self.config.acc_depth),
        ):
            require_room(layer.quantized.layer.name, memory, end, depth)

    def _halves(self, times: int) -> int:
        return min(self.layer.mapping.threads, times)

    def follow(self, tail: Tail) -> Joint:
        """Settle how the layer begins after another one, and where its accumulators lie.

        Loads may run early where they read nothing that is still being stored; the accumulators are moved
        to where nothing waits to be stored, if there is such a place.
        """
        step = self.layer.steps[0]
        reads = self.layer.reads(step)
        groups = range(reads.first_group, reads.first_group + reads.groups)
        early = not tail.writes(self.layer.quantized.layer, step.pixels, groups)
        last = self.config.acc_depth - self.acc.size * self.acc.halves - self.resident * self.layer.tables
        for base in (0, last) if early else ():
            for first in range(self.acc.halves):
                self.acc.base, self.acc.filled = base, first
                at = self.acc.place(first)
                if not tail.occupies(range(at, at + self.acc.size)):
                    self.joint = Joint(early=True, at_once=True)
                    return self.joint
        self.acc.base = self.acc.filled = 0
        self.joint = Joint(early=early, at_once=False)
        return self.joint

    def tail(self) -> Tail:
        """The tiles whose stores nothing has waited for when the last product is done."""
        return tail_of(self.layer.quantized.layer, self.layer.steps, self.acc)

    def run(self, memory: MemoryMap, *, frees: bool = False) -> Stream:
        """The stream, without FINISH; the last store's token is left for whoever comes next.

        Args:
            memory: Where everything lies.
            frees: Whether the last product posts a token to the load module, for the next layer's loads.
        """
        self.stream, self.map, joint = Stream(), memory, self.joint
        begins = [a or b for a, b in zip(self.loads_inputs, self.loads_weights, strict=True)]
        total, lag, event, tile = sum(begins), self.layer.mapping.threads, -1, -1
        early = joint is not None and joint.early
        at_once = joint is not None and joint.at_once
        # The second loads would starve the constants, and may read what the last store wrote; with one
        # thread they await a product anyway.
        gate = lag > 1 and total > 1
        if joint is not None and not at_once:
            self.stream.add([relay()], pop_next=True, push_prev=not early)
        for index, step in enumerate(self.layer.steps):
            if begins[index]:
                event += 1
                awaits = event >= lag or (event == 0 and joint is not None) or (event == 1 and gate)
                self.stream.add(self._loads(index, step), pop_next=awaits, push_next=True)
            if step.first:
                tile += 1
                self.acc.turn()
                self._constants(step, push_prev=gate and not at_once and index == 0)
                self.stream.add(self._start(step), pop_next=tile >= self.acc.halves)
            if index == 0 and at_once:
                self.stream.add([relay()], pop_next=True, push_prev=gate)
            done = index + 1 == len(begins) or begins[index + 1]
            posts = (done and event + lag < total) or (frees and index + 1 == len(begins))
            self.stream.add(self._products(step), pop_prev=begins[index], push_prev=posts)
            if step.last:
                self.stream.add(self._end(step), push_next=True)
                awaited = tile + self.acc.halves < self.tiles or tile == self.tiles - 1
                self.stream.add(self._stores(step), pop_prev=True, push_prev=awaited)
        return self.stream

    def _loads(self, index: int, step: Step) -> list[Item]:
        items: list[Item] = []
        if self.loads_inputs[index]:
            base, tensor_bytes = self.inp.turn(), self.config.inp_tensor_bytes
            size = (self.n["in_h"], self.n["in_w"])
            padding = Padding(memory=Memory.INP, first=self.map.padding // tensor_bytes)
            reads = self.layer.reads(step)
            groups = range(reads.first_group, reads.first_group + reads.groups)
            for operand, address in enumerate(self.map.inputs):
                tensor = Stored(first=address // tensor_bytes, size=size, lanes=self.n["lanes_in"])
                place = Place(base=base + operand * self.operand, plane=self.plane_inp)
                items += read_tile(tensor, step.pixels, groups, place, padding)
        if self.loads_weights[index]:
            key, first = self.layer.weight_key(step), 0
            for known, tensors in self.layer.weights.items():
                if known == key:
                    break
                first += len(tensors)
            dram = self.map.weights // self.config.wgt_tensor_bytes + first
            block = Block(
                sram=self.wgt.turn(), dram=dram, rows=1, size=len(self.layer.weights[key]), stride=0
            )
            items += loads(Memory.WGT, block)
        return items

    def _constants(self, step: Step, *, push_prev: bool) -> None:
        """Load what accumulators start from, unless it is there."""
        wanted = 0 if self.all_resident else step.channels.index
        if self.constant_channels == wanted and not self.layer.upstream:
            return
        self.constant_channels = wanted
        n = self.n
        whole = 1 if self.layer.uniform else n["groups_out"] * n["lanes_out"]
        first = 0 if self.all_resident else step.channels.first_group * n["lanes_out"]
        size = whole if self.all_resident else step.channels.groups * n["lanes_out"]
        dram = self.map.constants // self.config.acc_tensor_bytes
        items: list[Item] = []
        tables, at_once = self.layer.tables, self.layer.tables if size == self.resident else 1
        for table in range(0, tables, at_once):
            block = Block(
                sram=self.acc.end + table * self.resident,
                dram=dram + table * whole + first,
                rows=at_once,
                size=size,
                stride=whole,
            )
            items += loads(Memory.ACC, block)
        self.stream.add(items, push_prev=push_prev)

    def _constant(self, step: Step, table: int) -> int:
        """Where the constants of a tile's first channels lie."""
        whole = self.all_resident and not self.layer.uniform
        first = step.channels.first_group * self.n["lanes_out"] if whole else 0
        return self.acc.end + table * self.resident + first

    def _start(self, step: Step) -> list[Item]:
        if self.layer.upstream:
            dims = [Dim(dim.size, Index(dim.step.dst)) for dim in tile_dims(step, self.n["lanes_out"])]
            return gemm([Index(self.acc.at)], dims, self.config, reset=True)
        each, items = 0 if self.layer.uniform else 1, []
        for parts in starts(step, self.layer.edges):
            points = [
                Index(self.acc.at + p.at * self.n["lanes_out"], self._constant(step, p.table)) for p in parts
            ]
            dims = channel_dims(step, self.n["lanes_out"], each, (parts[0].rows, parts[0].columns))
            items += alu(AluOp.ADD, points, dims, self.config, immediate=0)
        return items

    def _end(self, step: Step) -> list[Item]:
        """Shift and clip the tile."""
        at, dims = self.acc.at, tile_dims(step, self.n["lanes_out"])
        r, items = self.layer.requantization, []
        pixels = step.pixels.rows.count, step.pixels.columns.count
        nest = channel_dims(step, self.n["lanes_out"], 1, pixels)
        operations = r.operations()
        if self.layer.upstream:
            items += alu(AluOp.ADD, [Index(at, self._constant(step, 0))], nest, self.config)
            operations = [(AluOp.SHR, int(r.shifts[0])), *r.clips]
        if len(r.shifts) > 1:
            source = self._constant(step, self.layer.tables - 1)
            items += alu(AluOp.SHR, [Index(at, source)], nest, self.config)
            operations = r.clips
        for operation, value in operations:
            items += alu(operation, [Index(at, at)], dims, self.config, immediate=value)
        return items

    def _parts(self, step: Step) -> list[Part]:
        layer, lanes = self.layer, self.n["lanes_out"]
        pixels = step.pixels.rows.count * step.pixels.columns.count
        planes = Planes(pixels * lanes, self.plane_inp, self.operand)
        reads = layer.reads(step)
        if self.n["dense"]:
            return dense_parts(layer.nest, step.channels, reads, planes, layer.weight_taps)
        pairs = layer.pairs[step.channels.index]
        return diagonal_parts(layer.nest, reads, planes, pairs, layer.weight_taps)

    def _products(self, step: Step) -> list[Item]:
        """The GEMMs of a step: blocks x taps x pixels."""
        n = self.n
        rows, columns = step.pixels.rows, step.pixels.columns
        lanes_in, lanes_out = n["lanes_in"], n["lanes_out"]
        pitch = columns.reads.extent * lanes_in
        tap = 0 if n["shared"] else 1
        down = pitch * (n["stride_h"] // rows.reads.spacing)
        around = [
            Dim(n["kernel_h"], Index(0, pitch, tap * n["kernel_w"])),
            Dim(n["kernel_w"], Index(0, lanes_in, tap)),
            Dim(rows.count, Index(columns.count * lanes_out, down)),
            Dim(columns.count, Index(lanes_out, n["stride_w"] * lanes_in)),
        ]
        items: list[Item] = []
        base = Index(self.acc.at, self.inp.at, self.wgt.at)
        for points, dims in self._parts(step):
            moved = [Index(*(a + b for a, b in zip(point, base, strict=True))) for point in points]
            items += gemm(moved, [*dims, *around], self.config)
        return items

    def _stores(self, step: Step) -> list[Item]:
        n = self.n
        first = self.map.output // self.config.out_tensor_bytes
        tensor = Stored(first=first, size=(n["out_h"], n["out_w"]), lanes=n["lanes_out"])
        return write_tile(tensor, step.pixels, step.channels, self.acc.at)
