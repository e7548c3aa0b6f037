"""Properties proved for every sequence of inputs: assertions, Yosys's SAT solver, induction over cycles."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from amaranth.back import rtlil
from amaranth.hdl import Module, Value

from rhnas.vta.yosys import run_tool

FLOW = """
read_rtlil proof.il
hierarchy -top proof
proc
flatten
chformal -lower
opt_expr -full
opt_clean
sat -tempinduct -prove-asserts -set-assumes -set rst 0 {invariants} -maxsteps {steps} -verify proof
"""


def prove(
    m: Module, inputs: list[Value], folder: Path, *, steps: int, invariants: Mapping[str, str] | None = None
) -> None:
    """Prove that all assertions hold in every cycle from the initial state on.

    Args:
        m: With ``Assert`` and ``Assume`` statements.
        inputs: That may be anything in any cycle.
        folder: For Yosys to work in.
        steps: Cycles that the induction may look back.
        invariants: Signals, by name, that are proved equal as well.

    Raises:
        ToolFailedError: They do not, or not by induction over so few cycles; carries Yosys's last lines.
    """
    (folder / "proof.il").write_text(rtlil.convert(m, name="proof", ports=inputs, emit_src=False))
    equal = " ".join(f"-prove {left} {right}" for left, right in (invariants or {}).items())
    (folder / "proof.ys").write_text(FLOW.format(invariants=equal, steps=steps))
    run_tool("yosys", ["proof.ys"], folder)
