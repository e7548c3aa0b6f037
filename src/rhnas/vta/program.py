"""Programs: instructions, the memory they start from, and what they should leave; ``program.json``.

::

    {"accelerator": "default",                              or a vta_config.json beside it
     "timing": "public",                                    optional
     "instructions": "instructions.bin",                    16 bytes each, little-endian
     "segments": [{"file": "input.bin", "address": 0}],     what DRAM holds before
     "bases": {"uop": 0, "inp": 0, "wgt": 0, "acc": 0, "out": 0},
     "expected": {"file": "expected_out.bin", "address": 0}}    optional: what it holds after

Addresses and bases are bytes in one DRAM image; an instruction's ``dram_base`` counts tensors of its memory
type from that type's base.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from rhnas.errors import ProgramError
from rhnas.files import read_json, write_atomically, write_json
from rhnas.vta.config import AcceleratorConfig
from rhnas.vta.isa import INSTRUCTION_BYTES
from rhnas.vta.timing import PROFILES

DESCRIPTION = "program.json"
CONFIGURATION = "vta_config.json"
BASES = ("uop", "inp", "wgt", "acc", "out")
ADDRESS_SPACE_BYTES = 1 << 32
"""Host registers hold 32-bit addresses (VCR.scala)."""

_JSON: Mapping[type, str] = {dict: "object", list: "array", str: "string"}
T = TypeVar("T")
KEYS = ("accelerator", "timing", "instructions", "segments", "bases", "expected")


@dataclass(frozen=True, kw_only=True)
class Segment:
    """Bytes at an address.

    Attributes:
        name: The file's name, ``.bin`` included.
        address: Of the first byte.
        content: uint8 (n,).

    Raises:
        ProgramError: It does not lie within the 4 GiB address space.
    """

    name: str
    address: int
    content: NDArray[np.uint8]

    def __post_init__(self) -> None:
        if self.address < 0 or self.address + len(self.content) > ADDRESS_SPACE_BYTES:
            raise ProgramError(f"{self.name} must lie within the first 4 GiB of memory", got=self.address)


@dataclass(frozen=True, kw_only=True)
class Program:
    """A program and everything its run needs.

    Attributes:
        config: The accelerator it was made for.
        instructions: uint64 (n, 2): low and high words.
        segments: Memory before the run; where they overlap, the later one counts.
        bases: Base registers in bytes by memory, 0 where absent; ACC_8BIT shares ``acc``.
        expected: Memory after the run, compared byte for byte.
        timing: Name of the timing profile it was made for.

    Raises:
        ProgramError: No instructions, an unknown base or one outside the address space, nothing expected.
    """

    config: AcceleratorConfig
    instructions: NDArray[np.uint64]
    segments: tuple[Segment, ...] = ()
    bases: Mapping[str, int] = field(default_factory=dict)
    expected: Segment | None = None
    timing: str | None = None

    def __post_init__(self) -> None:
        if len(self.instructions) == 0:
            raise ProgramError("a program must have at least one instruction", fix="end it with FINISH")
        if self.expected is not None and len(self.expected.content) == 0:
            raise ProgramError(
                f"{self.expected.name} must hold what memory is compared with",
                got="0 bytes",
                fix="write it again",
            )
        for name, base in self.bases.items():
            _known("bases key", name, BASES)
            if not 0 <= base < ADDRESS_SPACE_BYTES:
                raise ProgramError(f"base {name} must be a 32-bit address", got=base)

    def base(self, memory: str) -> int:
        """Base register of a memory, bytes."""
        return self.bases.get(memory, 0)

    def registers(self, address: int) -> dict[str, int]:
        """What a driver writes before the launch, by name of the register.

        Args:
            address: Where its instructions lie, bytes.
        """
        bases = {f"{memory}_base": self.base(memory) for memory in BASES}
        return {"count": len(self.instructions), "address": address, **bases}

    def in_memory(self, address: int, size: int) -> NDArray[np.uint8]:
        """The memory that it is launched with: segments and instructions, zero elsewhere, uint8 (size,).

        Args:
            address: Where its instructions lie, bytes.
            size: Of the memory, bytes.

        Example:
            >>> import numpy as np
            >>> from rhnas.vta.config import AcceleratorConfig
            >>> program = Program(config=AcceleratorConfig(), instructions=np.array([[3, 0]], np.uint64))
            >>> program.in_memory(4096, 8192).nonzero()[0], program.registers(4096)["count"]
            (array([4096]), 1)
        """
        memory = np.zeros(size, np.uint8)
        code = self.instructions.astype("<u8").view(np.uint8).reshape(-1)
        for begin, content in [(s.address, s.content) for s in self.segments] + [(address, code)]:
            memory[begin : begin + len(content)] = content
        return memory


def read_program(folder: Path) -> Program:
    """Read ``program.json`` and the files it names.

    Raises:
        ProgramError: A key, type or value is wrong, or a file is missing or truncated; names file and byte.
        RhnasError: ``program.json`` is absent or not JSON.
    """
    value = read_json(folder / DESCRIPTION)
    for key in value:
        _known(f"{DESCRIPTION} key", key, KEYS)
    for key in ("accelerator", "instructions"):
        if key not in value:
            raise ProgramError(f"{DESCRIPTION} must have the key {key!r}", got=sorted(value))
    timing = value.get("timing")
    if timing is not None:
        _known("timing", timing, tuple(PROFILES))
    accelerator = _text(value["accelerator"], "accelerator")
    expected = value.get("expected")
    return Program(
        config=_config(folder, accelerator),
        instructions=read_instructions(folder / _text(value["instructions"], "instructions")),
        segments=tuple(_segment(folder, item) for item in _of(list, value.get("segments", []), "segments")),
        bases={name: _whole(base, name) for name, base in _of(dict, value.get("bases", {}), "bases").items()},
        expected=None if expected is None else _segment(folder, expected),
        timing=timing,
    )


def write_program(program: Program, folder: Path) -> None:
    """Write a program as ``read_program`` reads it."""
    folder.mkdir(parents=True, exist_ok=True)
    default = program.config == AcceleratorConfig()
    if not default:
        write_json(folder / CONFIGURATION, program.config.to_json())
    write_atomically(folder / "instructions.bin", program.instructions.astype("<u8").tobytes())
    described: dict[str, Any] = {
        "accelerator": "default" if default else CONFIGURATION,
        **({} if program.timing is None else {"timing": program.timing}),
        "instructions": "instructions.bin",
        "segments": [_write_segment(folder, segment) for segment in program.segments],
        "bases": {name: program.base(name) for name in BASES},
    }
    if program.expected is not None:
        described["expected"] = _write_segment(folder, program.expected)
    write_json(folder / DESCRIPTION, described)


def read_instructions(path: Path) -> NDArray[np.uint64]:
    """A stream of 128-bit little-endian instructions.

    Returns:
        uint64 (n, 2): low and high words.

    Raises:
        ProgramError: The file is missing, empty, or ends within an instruction.
    """
    content = _bytes(path)
    whole = len(content) // INSTRUCTION_BYTES * INSTRUCTION_BYTES
    if whole != len(content) or not len(content):
        raise ProgramError(
            f"{path.name} must hold whole instructions of {INSTRUCTION_BYTES} bytes",
            got=f"{len(content)} bytes; an instruction begins at byte {whole} and does not end",
            fix="the file is truncated: write it again",
        )
    return content.view("<u8").reshape(-1, 2).astype(np.uint64)


def _write_segment(folder: Path, segment: Segment) -> dict[str, Any]:
    write_atomically(folder / segment.name, segment.content.tobytes())
    return {"file": segment.name, "address": segment.address}


def _segment(folder: Path, value: object) -> Segment:
    item = _of(dict, value, "segment")
    if set(item) != {"file", "address"}:
        raise ProgramError("a segment must have exactly the keys 'file' and 'address'", got=sorted(item))
    name = _text(item["file"], "file")
    return Segment(name=name, address=_whole(item["address"], "address"), content=_bytes(folder / name))


def _bytes(path: Path) -> NDArray[np.uint8]:
    try:
        return np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise ProgramError(f"{path} must be readable", got=error.strerror or error) from error


def _config(folder: Path, accelerator: str) -> AcceleratorConfig:
    if accelerator == "default":
        return AcceleratorConfig()
    return AcceleratorConfig.from_json(read_json(folder / accelerator))


def _known(what: str, value: object, names: Sequence[str]) -> None:
    if value not in names:
        close = difflib.get_close_matches(str(value), names, n=1, cutoff=0.0)
        raise ProgramError(
            f"{what} must be one of {', '.join(names)}", got=value, fix=f"did you mean {close[0]}?"
        )


def _of(kind: type[T], value: object, name: str) -> T:
    if not isinstance(value, kind):
        raise ProgramError(f"{DESCRIPTION} {name} must be a JSON {_JSON[kind]}", got=repr(value))
    return value


def _text(value: object, name: str) -> str:
    return _of(str, value, name)


def _whole(value: object, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ProgramError(f"{DESCRIPTION} {name} must be a whole number of bytes", got=repr(value))
    return value
