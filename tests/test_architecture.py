"""The shape of the package: imports point down, heavy libraries stay where they belong."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import rhnas

ROOT = Path(rhnas.__file__).parent

LAYERS = [
    {"errors"},
    {"seeds", "files", "tools", "assignments", "checkpoint"},
    {"workload", "provenance", "audit", "technology", "pareto"},
    {"space", "nearest", "quantized"},
    {"platform", "toolchain", "relaxation"},
    {"settings", "explain", "pricing"},
    {"networks"},
    {"vta", "platforms", "quantize"},
    {"nas", "agents"},
    {"optimize", "study", "gym", "build", "verify"},
    {"codesign"},
    {"bench", "report", "presets"},
    {"cli", "__main__", "__init__"},
]
"""Lowest first; a module imports only from its own line or from lines above it."""

LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
MODULES = sorted(ROOT.rglob("*.py"))

MAY_IMPORT = {
    "torch": ("checkpoint", "nas", "agents", "quantize", "codesign", "bench"),
    "amaranth": ("vta",),
    "onnx": ("networks", "quantize", "vta"),
    "plotly": ("report",),
    "typer": ("cli",),
    "gymnasium": ("agents", "gym"),
    "optuna": ("agents",),
    "stable_baselines3": ("agents",),
    "sb3_contrib": ("agents",),
}


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def unit(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def test_every_module_has_a_level():
    assert {unit(path) for path in MODULES} <= set(LEVEL)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path):
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "rhnas" and len(parts) > 1:
            assert LEVEL[parts[1]] <= LEVEL[unit(path)], f"{path.name} imports {name}"
            assert parts[1] != "vta" or unit(path) == "vta", "platforms are found by entry point"
        if parts[0] in MAY_IMPORT:
            assert unit(path) in MAY_IMPORT[parts[0]], f"{path.name} imports {name}"


def test_modules_stay_short():
    long = {str(p.relative_to(ROOT)): n for p in MODULES if (n := len(p.read_text().splitlines())) > 400}
    assert not long


@pytest.mark.parametrize(
    "command", [["--help"], ["space", "vta-intel"], ["explain", "--accelerator", "default"]]
)
def test_light_commands_do_not_import_torch(command):
    code = (
        "import sys\nfrom rhnas.cli.app import main\n"
        f"try:\n    main({command!r})\nexcept SystemExit:\n    pass\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
