"""A finished search of seconds, on the real platform, and copies of it to change."""

import shutil
import sys
from pathlib import Path

import pytest

from rhnas.build import Design, build
from rhnas.codesign.run import run
from rhnas.settings import Settings, load_settings
from rhnas.study import Study
from rhnas.toolchain import Toolchain


def tiny_settings() -> Settings:
    """Seconds of search on a few real digits and a small space."""
    return load_settings(
        "digits",
        [
            *("task.train=96", "task.validation=48", "task.test=64", "platform.fpga=none"),
            *("platform.space=vta-intel", "platform.limits.macs=64", "agent.name=random"),
            *("nas.epochs=2", "nas.warmup=1", "nas.batch=48", "nas.candidates=2", "nas.finalists=1"),
            *("train.epochs=2", "train.batch=48", "agent.evaluations=4", "agent.batch=4"),
            *("run.threads=1", "run.optimum=false"),
        ],
    )


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished search; not to be changed."""
    directory = tmp_path_factory.mktemp("finished") / "run"
    run(Study(directory, tiny_settings()))
    return directory


@pytest.fixture(scope="session")
def built(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with its found design built, with every extra that is installed; not to be changed."""
    directory = tmp_path_factory.mktemp("built") / "run"
    shutil.copytree(finished, directory)
    build(Design.of(directory))
    return directory


@pytest.fixture
def search(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished search."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


@pytest.fixture
def building(built: Path, tmp_path: Path) -> Path:
    """A copy of the built search."""
    return Path(shutil.copytree(built, tmp_path / "run"))


@pytest.fixture
def no_generator(monkeypatch: pytest.MonkeyPatch) -> None:
    """Amaranth is not installed: generation is most of a build's time."""
    monkeypatch.setitem(sys.modules, "rhnas.vta.rtl.control", None)


class Toolless(Toolchain):
    """A platform's toolchain that can only compile."""

    def compile(self, network, row, objective, *, technology, schedule):
        raise NotImplementedError

    def read(self, network, folder, description):
        raise NotImplementedError


@pytest.fixture
def toolless() -> Toolchain:
    return Toolless()
