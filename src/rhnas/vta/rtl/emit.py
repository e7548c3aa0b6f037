"""Verilog of one accelerator, with the port names AXI tools look for."""

from __future__ import annotations

from collections.abc import Mapping

from amaranth._toolchain import ToolNotFound
from amaranth._toolchain.yosys import YosysError
from amaranth.back import verilog
from amaranth.hdl import Shape
from amaranth.hdl._ir import PortDirection
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from rhnas.errors import MissingToolError, ToolFailedError
from rhnas.vta.config import AcceleratorConfig
from rhnas.vta.rtl.alu import LANE, AluLane
from rhnas.vta.rtl.axi import control_port, memory_port
from rhnas.vta.rtl.gemm import DOT_MODULE, array_lane
from rhnas.vta.rtl.target import GENERIC, Geometry, Target
from rhnas.vta.rtl.top import Accelerator

PREFIXES = {"memory": "m_axi", "control": "s_axi"}
"""Prefix of each port's signals: the memory master, the control slave."""
TOP = "accelerator"


def verilog_of(config: AcceleratorConfig, target: Target = GENERIC) -> str:
    """The accelerator as one Verilog file; clock ``clk``, synchronous reset ``rst``, AXI ports as usual.

    The lanes of the array and of the ALU are one module each. With a target whose multipliers are used the
    text has instances of them; ``target.primitive_models`` gives their behaviour.

    Raises:
        MissingToolError: No Yosys that Amaranth can use is installed.
        ToolFailedError: Yosys fails; carries its words.
    """
    top = Accelerator(config)
    ports = {}
    for interface, prefix in PREFIXES.items():
        bus = getattr(top, interface)
        for name, member in bus.signature.members.items():
            direction = PortDirection.Output if member.flow is Out else PortDirection.Input
            ports[f"{prefix}_{name}"] = (getattr(bus, name), direction)
    lanes = {DOT_MODULE: array_lane(config, target), LANE.module: AluLane()}
    texts = [convert(top, TOP, ports, target), *(module_verilog(name, lane) for name, lane in lanes.items())]
    return with_memories("\n".join(texts))


def module_verilog(name: str, component: wiring.Component) -> str:
    """Verilog of one component under its own ports' names."""
    ports = {}
    for port, member in component.signature.members.items():
        direction = PortDirection.Output if member.flow is Out else PortDirection.Input
        ports[port] = (getattr(component, port), direction)
    return with_memories(convert(component, name, ports, GENERIC))


def with_memories(text: str) -> str:
    """A text and the modules of the memories it instantiates."""
    return "\n".join([text, *(geometry.verilog() for geometry in Geometry.used_in(text))])


def convert(
    component: wiring.Component,
    name: str,
    ports: Mapping[str, tuple[object, PortDirection]],
    target: Target,
) -> str:
    """Verilog of a component.

    Raises:
        MissingToolError: No Yosys that Amaranth can use is installed.
        ToolFailedError: Yosys fails; carries its words.
    """
    try:
        text = verilog.convert(
            component, name=name, platform=target, ports=ports, emit_src=False, strip_internal_attrs=True
        )
    except ToolNotFound as error:
        raise MissingToolError("Yosys must be installed", fix="pip install 'rhnas[hardware]'") from error
    except YosysError as error:
        raise ToolFailedError("Yosys must succeed", got=error) from error
    return str(text)


def ports_of(config: AcceleratorConfig) -> list[dict[str, str | int]]:
    """Name, direction and width in bits of every port of the Verilog module.

    Example:
        >>> ports_of(AcceleratorConfig())[2]
        {'name': 'm_axi_arvalid', 'direction': 'output', 'bits': 1}
    """
    ports: list[dict[str, str | int]] = [
        {"name": name, "direction": "input", "bits": 1} for name in ("clk", "rst")
    ]
    signatures = {"memory": memory_port(config.bus_bits), "control": control_port()}
    for interface, prefix in PREFIXES.items():
        for name, member in signatures[interface].members.items():
            direction = "output" if member.flow is Out else "input"
            bits = Shape.cast(member.shape).width
            ports.append({"name": f"{prefix}_{name}", "direction": direction, "bits": bits})
    return ports
