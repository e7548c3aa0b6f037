"""Headless Chromium, where there is one: pictures of pages."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from rhnas.errors import MissingToolError, ToolFailedError

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")

FLAGS = (
    "--headless",
    "--no-sandbox",  # a page we wrote ourselves; containers offer no user namespaces
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)


def find_chromium() -> str | None:
    """Path of a Chromium or Chrome on PATH; the variable CHROMIUM wins."""
    names = (os.environ.get("CHROMIUM", ""), *NAMES)
    return next((found for name in names if name and (found := shutil.which(name))), None)


def run_chromium(page: Path, *options: str, timeout_s: float = 60.0) -> subprocess.CompletedProcess[str]:
    """Open a page in a fresh headless profile.

    Args:
        page: A local file.
        options: Further flags, for example ``--dump-dom``.
        timeout_s: Seconds after which the browser is ended.

    Raises:
        MissingToolError: There is no Chromium.
        ToolFailedError: It ended with an error or took too long.
    """
    path = find_chromium()
    if path is None:
        raise MissingToolError("a picture needs Chromium", fix="apt-get install chromium, or use the SVG")
    with tempfile.TemporaryDirectory(prefix="rhnas-chromium-", ignore_cleanup_errors=True) as profile:
        command = [path, *FLAGS, f"--user-data-dir={profile}", *options, page.resolve().as_uri()]
        try:
            done = subprocess.run(  # noqa: S603 - a browser found on PATH, a page we wrote
                command, capture_output=True, text=True, timeout=timeout_s, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise ToolFailedError(f"Chromium must end within {timeout_s:g} s", got=page) from error
    if done.returncode != 0:
        raise ToolFailedError("Chromium must end without an error", got=done.stderr.strip()[-500:])
    return done


def screenshot(page: Path, picture: Path, *, width: int, height: int, scale: float = 1.0) -> Path:
    """Take a PNG of a page, ``width`` x ``height`` CSS pixels at ``scale`` device pixels each.

    Raises:
        MissingToolError: There is no Chromium.
        ToolFailedError: No picture came out.
    """
    options = (f"--screenshot={picture.resolve()}", f"--window-size={width},{height}")
    done = run_chromium(page, *options, f"--force-device-scale-factor={scale:g}")
    if not picture.exists():
        raise ToolFailedError("Chromium must write the picture", got=done.stderr.strip()[-500:])
    return picture
