"""Running somebody's command: JSON on its standard input, JSON from its standard output."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rhnas.errors import MissingToolError, ToolFailedError

SHOWN_LINES = 5
"""Last lines of a failed command's standard error that an error carries."""
SHOWN_CHARACTERS = 200
"""First characters of an answer that is no JSON."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """An external program that answers one question at a time.

    Attributes:
        words: Program and arguments; ``python`` is the interpreter that runs this.
        folder: Where it runs.
        time_limit_s: After which it is killed, with all that it started.
        retries: Further attempts after a failed one.
    """

    words: Sequence[str]
    folder: Path
    time_limit_s: float
    retries: int
    _running: set[subprocess.Popen[str]] = field(default_factory=set, repr=False, compare=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)
    _stopped: threading.Event = field(default_factory=threading.Event, repr=False, compare=False)

    def ask(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to a question.

        Raises:
            MissingToolError: The program cannot be started.
            ToolFailedError: It ran too long, failed or did not print one JSON object, every time.
        """
        text = json.dumps(question)
        for attempt in range(self.retries + 1):
            try:
                return self._once(text)
            except ToolFailedError as error:
                if attempt == self.retries or self._stopped.is_set():
                    got = f"{error.got} (attempt {attempt + 1} of {self.retries + 1})"
                    raise ToolFailedError(error.what, got=got, fix=error.fix) from error
        raise AssertionError

    def stop(self) -> None:
        """Kill what still runs, for good: nothing is tried again."""
        self._stopped.set()
        with self._lock:
            for process in self._running:
                if process.returncode is None:
                    _kill(process)

    def _once(self, text: str) -> dict[str, Any]:
        process = self._start()
        try:
            out, err = process.communicate(text, timeout=self.time_limit_s)
        except BaseException as error:
            _kill(process)
            process.communicate()
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            raise ToolFailedError(
                f"{self.words[0]} must answer within {self.time_limit_s:g} s",
                got="no answer; it was killed",
                fix="raise time_limit_s, or find out why it hangs; what was priced before is kept",
            ) from error
        finally:
            with self._lock:
                self._running.discard(process)
        if process.returncode != 0:
            last = "\n".join(err.strip().splitlines()[-SHOWN_LINES:]) or "nothing on standard error"
            raise ToolFailedError(
                f"{self.words[0]} must end with exit code 0", got=f"{process.returncode}: {last}"
            )
        return _parsed(self.words[0], out)

    def _start(self) -> subprocess.Popen[str]:
        program = sys.executable if self.words[0] == "python" else self.words[0]
        try:
            process = subprocess.Popen(  # noqa: S603 - the user's own command, without a shell
                [program, *self.words[1:]],
                cwd=self.folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,
            )
        except OSError as error:
            raise MissingToolError(
                "the command must be a program that can be started",
                got=f"{self.words[0]}: {error.strerror or error}",
                fix=f"correct command in the platform's file; it runs in {self.folder}",
            ) from error
        with self._lock:
            self._running.add(process)
        return process


def _kill(process: subprocess.Popen[str]) -> None:
    """End a process that has not been waited for, and what it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _parsed(program: str, out: str) -> dict[str, Any]:
    try:
        answer = json.loads(out)
    except ValueError as error:
        shown = out.strip()[:SHOWN_CHARACTERS] or "nothing"
        raise ToolFailedError(f"{program} must print one JSON object", got=shown) from error
    if not isinstance(answer, dict):
        raise ToolFailedError(f"{program} must print one JSON object", got=type(answer).__name__)
    return answer
