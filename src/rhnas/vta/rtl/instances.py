"""Equal lanes emitted once: instances of one Verilog module where Verilog is made, components elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from amaranth.hdl import ClockSignal, Instance, Module, ResetSignal, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import Member, Out

from rhnas.vta.rtl.target import Target


@dataclass(frozen=True)
class Repeated:
    """A component of which there are many.

    Attributes:
        module: The Verilog module it is emitted as.
        ports: Its ports, unsigned; it has a clock besides.
        make: Makes one; not called where Verilog is made.
    """

    module: str
    ports: Mapping[str, Member]
    make: Callable[[], wiring.Component]

    def place(self, m: Module, platform: object, name: str, **inputs: Value) -> dict[str, Signal]:
        """Put one into ``m``.

        Args:
            m: Where it goes.
            platform: What ``elaborate`` was given: a ``Target`` where Verilog is made.
            name: Of the instance.
            inputs: Its inputs, by port.

        Returns:
            Its outputs, by port.
        """
        outputs = {
            port: Signal(member.shape, name=f"{name}_{port}")
            for port, member in self.ports.items()
            if member.flow is Out
        }
        if isinstance(platform, Target):
            m.submodules[name] = Instance(
                self.module,
                i_clk=ClockSignal(),
                i_rst=ResetSignal(),
                **{f"i_{port}": value for port, value in inputs.items()},
                **{f"o_{port}": signal for port, signal in outputs.items()},
            )
            return outputs
        m.submodules[name] = component = self.make()
        m.d.comb += [getattr(component, port).eq(value) for port, value in inputs.items()]
        m.d.comb += [signal.eq(getattr(component, port)) for port, signal in outputs.items()]
        return outputs
