"""Fetching from a real HTTP server on the loopback: whole, cut short, resumed, corrupt, absent."""

import hashlib
import io
import json
import re
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from rhnas.cli.app import main
from rhnas.errors import DataError, SettingsError
from rhnas.nas.data.fetch import ARCHIVES, Archive, fetch


class Server(ThreadingHTTPServer):
    """Serves one body; may cut the first answer short, or know nothing of ranges."""

    body = b""
    cut: int | None = None
    ranges = True
    asked: list[str | None]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.asked.append(wanted)
        if self.path != "/a.tar.gz":
            self.send_error(404)
            return
        start = int(re.findall(r"\d+", wanted)[0]) if wanted and self.server.ranges else 0
        if start >= len(self.server.body):
            self.send_error(416)
            return
        body = self.server.body[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: self.server.cut])
        self.server.cut = None

    def log_message(self, *_: object) -> None:
        """Quiet."""


FILES = {"one.bin": b"1" * 70_000, "two.bin": bytes(range(256)) * 40}


def packed(folder: str, files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"{folder}/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as running:
        running.body, running.asked = packed("small", FILES), []
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def archive(server: Server) -> Archive:
    return Archive(
        url=f"http://127.0.0.1:{server.server_port}/a.tar.gz",
        md5=hashlib.md5(server.body).hexdigest(),  # noqa: S324
        folder="small",
        files={name: len(content) for name, content in FILES.items()},
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


WHOLE = {f"small/{name}": content for name, content in FILES.items()}


def test_a_whole_download_leaves_the_files_and_nothing_else(archive: Archive, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    assert fetch(archive, tmp_path / "new", progress=lambda *call: seen.append(call))
    assert contents(tmp_path / "new") == WHOLE
    assert seen[-1][0] == seen[-1][1] > 80_000


def test_what_is_there_is_not_fetched_again_and_what_is_broken_is(
    archive: Archive, server: Server, tmp_path: Path
) -> None:
    fetch(archive, tmp_path)
    assert not fetch(archive, tmp_path)
    assert len(server.asked) == 1
    (tmp_path / "small" / "one.bin").write_bytes(b"short")
    assert fetch(archive, tmp_path)
    assert contents(tmp_path) == WHOLE


@pytest.mark.parametrize("ranges", [True, False])
def test_a_cut_download_goes_on_where_it_stopped(
    archive: Archive, server: Server, tmp_path: Path, ranges: bool
) -> None:
    server.cut, server.ranges = 30_000, ranges
    with pytest.raises(DataError, match=r"ended after 30,000 of .* run it again"):
        fetch(archive, tmp_path)
    assert not (tmp_path / "small").exists()
    assert fetch(archive, tmp_path)
    assert server.asked == [None, "bytes=30000-"]
    assert contents(tmp_path) == WHOLE


def test_a_download_killed_before_it_was_unpacked(archive: Archive, server: Server, tmp_path: Path) -> None:
    (tmp_path / ".small.part").write_bytes(server.body)
    assert fetch(archive, tmp_path)
    assert contents(tmp_path) == WHOLE


def test_a_wrong_checksum_is_refused_and_the_file_discarded(archive: Archive, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"checksum of .* must be 00; got [0-9a-f]{32}"):
        fetch(replace(archive, md5="00"), tmp_path)
    assert contents(tmp_path) == {}


def test_an_archive_of_something_else(archive: Archive, server: Server, tmp_path: Path) -> None:
    for body, message in (
        (packed("other", FILES), r"must hold one\.bin, two\.bin in a folder small; got none"),
        (packed("small", {"one.bin": b"1"}), r"got \['one\.bin'\]"),
        (b"no archive at all" * 100, "must be a tar archive"),
        (packed("../small", FILES), r"must hold one\.bin, two\.bin in a folder small; got none of them"),
    ):
        server.body = body
        expected = hashlib.md5(body).hexdigest()  # noqa: S324
        with pytest.raises(DataError, match=message):
            fetch(replace(archive, md5=expected), tmp_path / expected)
        assert not (tmp_path / expected / "small").exists()


def test_no_network_and_no_such_page_are_plain_errors(archive: Archive, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"must be reachable; got .*refused.*file:///PATH"):
        fetch(archive, tmp_path, url="http://127.0.0.1:9/a.tar.gz")
    with pytest.raises(DataError, match="must be reachable; got Not Found"):
        fetch(archive, tmp_path, url=archive.url.replace("a.tar", "b.tar"))
    with pytest.raises(DataError, match=r"must be reachable; got .*No such file"):
        fetch(archive, tmp_path, url=f"file://{tmp_path}/none")
    with pytest.raises(SettingsError, match=r"must start with http.*got ftp://x"):
        fetch(archive, tmp_path, url="ftp://x")


def test_a_file_fetched_by_other_means(archive: Archive, server: Server, tmp_path: Path) -> None:
    (tmp_path / "copy.tar").write_bytes(server.body)
    assert fetch(archive, tmp_path / "to", url=(tmp_path / "copy.tar").as_uri())
    assert contents(tmp_path / "to") == WHOLE
    assert server.asked == []


def test_a_folder_that_cannot_be_written(archive: Archive, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"file must be writable; got .*choose another folder"):
        fetch(archive, tmp_path / "file")


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return int(ended.value.code or 0)


def test_the_command(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(ARCHIVES, "cifar10", archive)
    for fetched in (True, False):
        assert run("data", "cifar10", str(tmp_path), "--json") == 0
        printed = json.loads(capsys.readouterr().out)
        assert (printed["fetched"], printed["folder"]) == (fetched, str(tmp_path / "small"))
    assert run("data", "cifar10", str(tmp_path)) == 0
    assert "RHNAS_DATA" in capsys.readouterr().out
    assert run("data", "imagenet", str(tmp_path), "--json") == 2
    assert json.loads(capsys.readouterr().out)["error"]["got"] == "'imagenet'"


def test_the_published_cifar10_archive_is_the_one_we_name() -> None:
    assert ARCHIVES["cifar10"].url == "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
    assert ARCHIVES["cifar10"].md5 == "c32a1d4ab5d03f1284b67883e8d87530"
