"""Verilog of one accelerator, with the port names AXI tools look for."""

from __future__ import annotations

from amaranth.back import verilog
from amaranth.hdl._ir import PortDirection
from amaranth.lib.wiring import Out

from rhnas.vta.config import AcceleratorConfig
from rhnas.vta.rtl.top import Accelerator

PREFIXES = {"memory": "m_axi", "control": "s_axi"}
"""Prefix of each port's signals: the memory master, the control slave."""
TOP = "accelerator"


def verilog_of(config: AcceleratorConfig) -> str:
    """The accelerator as one Verilog file; clock ``clk``, synchronous reset ``rst``, AXI ports as usual."""
    top = Accelerator(config)
    ports = {}
    for interface, prefix in PREFIXES.items():
        bus = getattr(top, interface)
        for name, member in bus.signature.members.items():
            direction = PortDirection.Output if member.flow is Out else PortDirection.Input
            ports[f"{prefix}_{name}"] = (getattr(bus, name), direction)
    text = verilog.convert(top, name=TOP, ports=ports, emit_src=False, strip_internal_attrs=True)
    return str(text)
