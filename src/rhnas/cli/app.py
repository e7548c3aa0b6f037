"""The command ``rhnas``: parses, calls the library, prints; exit codes as in docs/cli.md."""

from __future__ import annotations

import json
import sys

import typer

from rhnas.cli.audit import audit
from rhnas.cli.bench import bench
from rhnas.cli.build import build
from rhnas.cli.cost import cost
from rhnas.cli.data import data
from rhnas.cli.doctor import doctor
from rhnas.cli.explain import explain
from rhnas.cli.front import front
from rhnas.cli.generate import generate
from rhnas.cli.new import new
from rhnas.cli.optimize import optimize
from rhnas.cli.output import stderr
from rhnas.cli.pretrain import pretrain
from rhnas.cli.report import report
from rhnas.cli.search import search
from rhnas.cli.simulate import simulate
from rhnas.cli.space import space
from rhnas.cli.verify import verify
from rhnas.errors import RhnasError

CommandLineError: type[Exception] = typer.BadParameter.__mro__[2]
"""Base of all complaints about a command line; newer typers carry their own click, older ones import it."""

app = typer.Typer(
    name="rhnas",
    help="Find a neural network and the accelerator it runs on together, and get a design that can be built.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.command()(search)
app.command()(cost)
app.command()(audit)
app.command()(data)
app.command()(explain)
app.command()(optimize)
app.command()(pretrain)
app.command()(bench)
app.command()(space)
app.command()(new)
app.command()(doctor)
app.command()(report)
app.command()(front)
app.command()(simulate)
app.command()(generate)
app.command()(build)
app.command()(verify)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code.

    0: done and positive; 1: done, the answer is no; 2: the user's mistake; 3: a tool or extra is missing.
    """
    given = sys.argv[1:] if arguments is None else arguments
    try:
        code = app(given, standalone_mode=False)
    except RhnasError as error:
        _report(error, "--json" in given)
        sys.exit(error.exit_code)
    except CommandLineError as error:
        message = getattr(error, "format_message", error.__str__)()
        _report(RhnasError(message, fix="see rhnas --help"), "--json" in given)
        sys.exit(2)
    except (typer.Abort, KeyboardInterrupt):
        stderr.print("interrupted; what was finished is kept")
        sys.exit(130)
    sys.exit(code if isinstance(code, int) else 0)


def _report(error: RhnasError, json_output: bool) -> None:
    if json_output:
        sys.stdout.write(json.dumps(error.to_json()) + "\n")
        return
    stderr.print(f"[bold red]error:[/] {error.what}", soft_wrap=True)
    if error.got is not None:
        stderr.print(f"  got: {error.got}", soft_wrap=True, markup=False)
    if error.fix is not None:
        stderr.print(f"  fix: {error.fix}", soft_wrap=True, markup=False)
