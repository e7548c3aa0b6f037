"""Generated Verilog taken apart: one self-contained text per module, equal for equal modules."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

MODULE = re.compile(r"^module (?P<name>\\\S+|\w+) ?\(.*?^endmodule$", re.MULTILINE | re.DOTALL)
INSTANCE = re.compile(r"^  (?P<module>\\\S+|\w+) +(?:\\\S+|\w+) \($", re.MULTILINE)
PORT = re.compile(r"^  (?:input|output) .*;$", re.MULTILINE)
GENERATED = re.compile(r"\\\S*\$\S*")
"""Names that Yosys made up; their numbers differ from one design to the next."""


@dataclass(frozen=True)
class Unit:
    """One module with its children as black boxes.

    Attributes:
        name: As in the design.
        key: Hash of the text; equal modules have equal keys.
        text: Verilog of the module ``u_KEY`` and of black boxes ``u_KEY_b0`` and so on.
        children: How often it instantiates each module of the design.
    """

    name: str
    key: str
    text: str
    children: Mapping[str, int]

    @property
    def module(self) -> str:
        """Name of the module in ``text``."""
        return f"u_{self.key}"


def units_of(verilog: str) -> dict[str, Unit]:
    r"""The modules of a design by name.

    Example:
        >>> text = (
        ...     "module a(x);\n  input x;\n  b b0 (\n    .y(x)\n  );\nendmodule\n"
        ...     "module b(y);\n  input y;\nendmodule\n"
        ... )
        >>> {name: dict(unit.children) for name, unit in units_of(text).items()}
        {'a': {'b': 1}, 'b': {}}
    """
    texts = {match["name"]: match.group() for match in MODULE.finditer(verilog)}
    return {name: _unit(name, texts) for name in texts}


def instances(units: Mapping[str, Unit], top: str) -> Counter[str]:
    """How often each module occurs below ``top``, which occurs once."""
    counts: Counter[str] = Counter()

    def visit(name: str, times: int) -> None:
        counts[name] += times
        for child, number in units[name].children.items():
            visit(child, times * number)

    visit(top, 1)
    return counts


def _unit(name: str, texts: Mapping[str, str]) -> Unit:
    """A module's unit: names made canonical in the order in which they occur."""
    children = Counter(
        match["module"] for match in INSTANCE.finditer(texts[name]) if match["module"] in texts
    )
    parts = [_renamed(texts[name], name, "u_KEY")]
    for number, child in enumerate(children):
        box = f"u_KEY_b{number}"
        parts[0] = re.sub(rf"^  {re.escape(child)} ", f"  {box} ", parts[0], flags=re.MULTILINE)
        ports = PORT.findall(texts[child])
        header = texts[child].split(";", 1)[0] + ";"
        parts.append("\n".join(["(* blackbox *)", _renamed(header, child, box), *ports, "endmodule"]))
    text = "\n".join(parts) + "\n"
    numbers: dict[str, str] = {}
    text = GENERATED.sub(lambda match: numbers.setdefault(match.group(), f"\\g${len(numbers)}"), text)
    key = hashlib.sha256(text.encode()).hexdigest()[:16]
    return Unit(name=name, key=key, text=text.replace("u_KEY", f"u_{key}"), children=children)


def _renamed(text: str, name: str, new: str) -> str:
    return text.replace(f"module {name}", f"module {new}", 1)
