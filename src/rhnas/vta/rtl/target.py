"""What the Verilog is for: an FPGA family's multipliers as instances, or plain arithmetic for any tool."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import ClassVar

from amaranth.hdl import Cat, ClockSignal, Const, Instance, Module, Shape, Signal, Value, signed
from amaranth.lib.memory import Memory

from rhnas.vta.fpga import Fpga
from rhnas.vta.rtl.accumulators import delayed
from rhnas.vta.rtl.products import OPERAND_BITS, PRODUCT_BITS, rows, thrice, total

MODELS = "primitives.v"
"""Behaviour of the primitives, as far as they are used here, for simulation."""


BLOCK_RAM_WORDS = 100
"""Memories of fewer words are made of look-up tables."""
SLICE_BITS = 512
"""A wider memory of look-up tables is made of equal slices, so that synthesis meets a slice once."""

Product = tuple[Value, Value | None]
"""A signed number and a carry to be added to it."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """A family's multipliers, passed to ``elaborate`` as its platform.

    Attributes:
        family: ``generic`` (plain arithmetic), ``xc7`` (DSP48E1) or ``ecp5`` (MULT18X18D).
        dsps: Multipliers of the part; products beyond them are made of look-up tables.
        shared: int8 products with one operand in common that one multiplier yields.
    """

    family: str
    dsps: int = 0
    shared: int = 1

    def hard_positions(self, *, length: int, outputs: int, arrays: int) -> int:
        """How many of a dot product's positions get multipliers.

        Args:
            length: Positions of a dot product.
            outputs: Dot products that share a vector in one lane.
            arrays: Lanes.

        Example:
            >>> Target(family="ecp5", dsps=156).hard_positions(length=16, outputs=2, arrays=8)
            9
        """
        return min(length, self.dsps // (arrays * self.per_position(outputs)))

    def per_position(self, outputs: int) -> int:
        """Multipliers that one position of a lane takes."""
        return -(-outputs // self.shared)

    def get_memory(self, memory: Memory) -> Instance:
        """Amaranth's hook for memories: each is an instance of the module of its geometry."""
        (read,), (write,) = memory.read_ports, memory.write_ports
        geometry = Geometry(
            width=Shape.cast(memory.shape).width,
            depth=memory.depth,
            granules=len(write.en),
            clocked=read.domain != "comb",
        )

        def address(value: Value) -> Value:
            return Cat(value, Const(0, geometry.address_bits - len(value)))

        return Instance(
            geometry.module,
            i_clk=ClockSignal(),
            i_read_en=read.en,
            i_read_addr=address(read.addr),
            o_read_data=read.data,
            i_write_addr=address(write.addr),
            i_write_data=write.data,
            i_write_en=write.en,
        )


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """A memory with one write port in equal granules and one read port, clocked or not.

    Its module has no initial contents: Amaranth's would list every word of every scratchpad.
    """

    width: int
    depth: int
    granules: int
    clocked: bool

    NAME: ClassVar[re.Pattern[str]] = re.compile(r"\bmemory_(\d+)x(\d+)_(\d+)_(clocked|direct)\b")

    @property
    def module(self) -> str:
        """Name of the Verilog module, which says all of the geometry.

        Example:
            >>> Geometry(width=64, depth=1024, granules=1, clocked=True).module
            'memory_64x1024_1_clocked'
        """
        kind = "clocked" if self.clocked else "direct"
        return f"memory_{self.width}x{self.depth}_{self.granules}_{kind}"

    @property
    def address_bits(self) -> int:
        """Width of an address: at least a bit."""
        return max(1, (self.depth - 1).bit_length())

    @classmethod
    def used_in(cls, verilog: str) -> list[Geometry]:
        """Geometries of the memories that a text instantiates, and of their slices."""
        used = {
            cls(width=int(width), depth=int(depth), granules=int(granules), clocked=kind == "clocked")
            for width, depth, granules, kind in cls.NAME.findall(verilog)
        }
        used |= {geometry.slice for geometry in used}
        return sorted(used, key=lambda geometry: geometry.module)

    @property
    def slice(self) -> Geometry:
        """What the memory is made of; itself unless it is wide and of look-up tables.

        Example:
            >>> Geometry(width=8192, depth=64, granules=64, clocked=True).slice.module
            'memory_512x64_4_clocked'
        """
        if self.depth >= BLOCK_RAM_WORDS or self.width <= SLICE_BITS or self.width % SLICE_BITS:
            return self
        return replace(self, width=SLICE_BITS, granules=max(1, SLICE_BITS * self.granules // self.width))

    def verilog(self) -> str:
        """The module; a word that is read while it is written comes out old."""
        address = self.address_bits - 1
        kind = "reg" if self.clocked and self.slice == self else "wire"
        body = self._cells() if self.slice == self else self._slices()
        return f"""
module {self.module}(clk, read_en, read_addr, read_data, write_addr, write_data, write_en);
  input clk;
  input read_en;
  input [{address}:0] read_addr;
  output [{self.width - 1}:0] read_data;
  {kind} [{self.width - 1}:0] read_data;
  input [{address}:0] write_addr;
  input [{self.width - 1}:0] write_data;
  input [{self.granules - 1}:0] write_en;
{body}endmodule
"""

    def _slices(self) -> str:
        """Slices side by side; a granule may reach over several."""
        part, text = self.slice, ""
        for first in range(0, self.width, part.width):
            data = f"{first + part.width - 1}:{first}"
            granule = first * self.granules // self.width
            text += f"""  {part.module} slice_{first} (
    .clk(clk), .read_en(read_en), .read_addr(read_addr), .read_data(read_data[{data}]),
    .write_addr(write_addr), .write_data(write_data[{data}]),
    .write_en(write_en[{granule + part.granules - 1}:{granule}])
  );
"""
        return text

    def _cells(self) -> str:
        """The words themselves."""
        granule = self.width // self.granules
        bits = [(g, granule * (g + 1) - 1, granule * g) for g in range(self.granules)]
        writes = "\n".join(
            f"    if (write_en[{g}]) mem[write_addr][{high}:{low}] <= write_data[{high}:{low}];"
            for g, high, low in bits
        )
        clocked = "    if (read_en) read_data <= mem[read_addr];\n" if self.clocked else ""
        direct = "" if self.clocked else "  assign read_data = mem[read_addr];\n"
        return f"""  reg [{self.width - 1}:0] mem [0:{self.depth - 1}];
{direct}  always @(posedge clk) begin
{clocked}{writes}
  end
"""


GENERIC = Target(family="generic")
"""Plain arithmetic, for simulation and for any other tool."""


def target_of(part: Fpga | None) -> Target:
    """The target that uses a part's multipliers; ``GENERIC`` without a part."""
    if part is None:
        return GENERIC
    return Target(family=part.family, dsps=part.dsps, shared=part.products_per_dsp)


def primitive_models() -> str:
    """Verilog modules that behave as the primitives do."""
    return files("rhnas.vta.rtl").joinpath(MODELS).read_text()


def hard_products(m: Module, target: Target, name: str, shared: Value, others: list[Value]) -> list[Product]:
    """Products of ``shared`` with each of ``others``, three cycles later, from instances.

    Args:
        m: Where the instances go.
        target: Of family ``xc7`` or ``ecp5``.
        name: Of the instances.
        shared: Signed, ``OPERAND_BITS`` wide.
        others: One or two values alike.

    Returns:
        A product each. The upper one of two in one DSP48 lacks a one where the lower one is negative (AMD
        WP486): that is its carry.
    """
    if target.family == "ecp5":
        made = [_mult18(m, f"{name}_{k}", shared, other) for k, other in enumerate(others)]
        return [(delayed(m, product, reset_less=True), None) for product in made]
    low, high = others[0], others[1] if len(others) > 1 else Const(0, signed(OPERAND_BITS))
    product = _dsp48(m, name, shared=shared, low=low, high=high)
    products: list[Product] = [(product[:PRODUCT_BITS].as_signed(), None)]
    if len(others) > 1:
        upper = product[PRODUCT_BITS : 2 * PRODUCT_BITS].as_signed()
        products.append((upper, product[PRODUCT_BITS - 1]))
    return products


def _extended(value: Value, bits: int) -> Value:
    return Cat(value, value[-1].replicate(bits - len(value)))


def _mult18(m: Module, name: str, a: Value, b: Value) -> Value:
    """MULT18X18D with its input and output registers (Lattice FPGA-TN-02205)."""
    product = Signal(36, name=f"{name}_p")
    bits = {f"i_A{i}": bit for i, bit in enumerate(_extended(a, 18))}
    bits |= {f"i_B{i}": bit for i, bit in enumerate(_extended(b, 18))}
    bits |= {f"o_P{i}": product[i] for i in range(36)}
    m.submodules[name] = Instance(
        "MULT18X18D",
        p_REG_INPUTA_CLK="CLK0",
        p_REG_INPUTB_CLK="CLK0",
        p_REG_PIPELINE_CLK="NONE",
        p_REG_OUTPUT_CLK="CLK0",
        i_SIGNEDA=Const(1),
        i_SIGNEDB=Const(1),
        i_SOURCEA=Const(0),
        i_SOURCEB=Const(0),
        i_CLK0=ClockSignal(),
        i_CE0=Const(1),
        i_RST0=Const(0),
        **bits,
    )
    return product[:PRODUCT_BITS].as_signed()


def _dsp48(m: Module, name: str, *, shared: Value, low: Value, high: Value) -> Value:
    """(high 2^16 + low) x shared in one DSP48E1: pre-adder, registers at both ends and inside (AMD UG479)."""
    product = Signal(48, name=f"{name}_p")
    registers = {"AREG": 1, "ACASCREG": 1, "DREG": 1, "ADREG": 0, "BREG": 1, "BCASCREG": 1}
    registers |= {"MREG": 1, "PREG": 1}
    unused = ("CREG", "INMODEREG", "OPMODEREG", "ALUMODEREG", "CARRYINREG", "CARRYINSELREG")
    enables = ("CEA2", "CEB2", "CED", "CEM", "CEP")
    m.submodules[name] = Instance(
        "DSP48E1",
        p_USE_DPORT="TRUE",
        p_USE_MULT="MULTIPLY",
        p_USE_SIMD="ONE48",
        p_A_INPUT="DIRECT",
        p_B_INPUT="DIRECT",
        **{f"p_{register}": value for register, value in registers.items()},
        **{f"p_{register}": 0 for register in unused},
        i_A=_extended(Cat(Const(0, PRODUCT_BITS), high), 30),
        i_D=_extended(low, 25),
        i_B=_extended(shared, 18),
        i_C=Const(0, 48),
        i_INMODE=Const(0b00100, 5),
        i_OPMODE=Const(0b0000101, 7),
        i_ALUMODE=Const(0, 4),
        i_CARRYIN=Const(0),
        i_CARRYINSEL=Const(0, 3),
        i_CLK=ClockSignal(),
        **{f"i_{enable}": Const(1) for enable in enables},
        **{f"i_RST{register}": Const(0) for register in ("A", "B", "D", "M", "P")},
        o_P=product,
    )
    return product


def soft_products(m: Module, target: Target, name: str, shared: Value, others: list[Value]) -> list[Product]:
    """The same without multipliers, no carries: of look-up tables, or in plain arithmetic if generic."""
    if target.family != GENERIC.family:
        return _table_products(m, name, shared, others)
    a = Signal(signed(OPERAND_BITS), name=f"{name}_a", reset_less=True)
    m.d.sync += a.eq(shared)
    products: list[Product] = []
    for k, other in enumerate(others):
        b = Signal(signed(OPERAND_BITS), name=f"{name}_b{k}", reset_less=True)
        product = Signal(signed(PRODUCT_BITS), name=f"{name}_p{k}", reset_less=True)
        m.d.sync += [b.eq(other), product.eq(a * b)]
        products.append((delayed(m, product, reset_less=True), None))
    return products


def _table_products(m: Module, name: str, shared: Value, others: list[Value]) -> list[Product]:
    """Multiples of the shared operand are chosen in the second cycle and added in the third."""
    a = delayed(m, shared.as_signed(), reset_less=True)
    three, minus = thrice(a), -a
    products: list[Product] = []
    for k, other in enumerate(others):
        digits = delayed(m, other, reset_less=True)
        chosen = [delayed(m, row, reset_less=True) for row in rows(digits, a, three, minus)]
        product = total(m, chosen, f"{name}_p{k}")
        products.append((delayed(m, product, reset_less=True), None))
    return products
