"""Equal lanes emitted once: instances of one Verilog module where Verilog is made, components elsewhere."""

from __future__ import annotations

from amaranth.hdl import ClockSignal, Instance, Module, ResetSignal, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from rhnas.vta.rtl.target import Target

DOT_MODULE = "dot_products"
"""Verilog module of a lane of the GEMM array."""
ALU_MODULE = "alu_lane"
"""Verilog module of a lane of the ALU."""


def instance(
    m: Module, platform: object, module: str, name: str, component: wiring.Component, **inputs: Value
) -> dict[str, Signal]:
    """Put one of many equal components into ``m``.

    Args:
        m: Where it goes.
        platform: What ``elaborate`` was given: a ``Target`` where Verilog is made.
        module: Verilog module that the component is emitted as.
        name: Of the instance.
        component: With a clock and unsigned ports.
        inputs: Its inputs, by port.

    Returns:
        Its outputs, by port.
    """
    outputs = {}
    for port, member in component.signature.members.items():
        if member.flow is Out:
            outputs[port] = Signal(member.shape, name=f"{name}_{port}")
    if isinstance(platform, Target):
        m.submodules[name] = Instance(
            module,
            i_clk=ClockSignal(),
            i_rst=ResetSignal(),
            **{f"i_{port}": value for port, value in inputs.items()},
            **{f"o_{port}": signal for port, signal in outputs.items()},
        )
        return outputs
    m.submodules[name] = component
    m.d.comb += [getattr(component, port).eq(value) for port, value in inputs.items()]
    m.d.comb += [signal.eq(getattr(component, port)) for port, signal in outputs.items()]
    return outputs
