"""What a user installs: the wheel and the sdist, built as a release would be."""

import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD = """
import sys
from setuptools import build_meta
folder = sys.argv[1]  # kept: setuptools writes its own words over sys.argv
build_meta.build_sdist(folder)
build_meta.build_wheel(folder)
"""


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build from a copy: building leaves its own files beside the sources."""
    source = tmp_path_factory.mktemp("source")
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(ROOT / "src", source / "src", ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-c", BUILD, str(folder)]
    built = subprocess.run(command, cwd=source, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return folder


def in_sources() -> set[str]:
    """Every file of the package, as the wheel should name it."""
    return {
        path.relative_to(ROOT / "src").as_posix()
        for path in (ROOT / "src" / "shoal").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def in_wheel(dist: Path) -> set[str]:
    (wheel,) = dist.glob("*.whl")
    return set(zipfile.ZipFile(wheel).namelist())


def metadata(dist: Path) -> Message:
    (wheel,) = dist.glob("*.whl")
    (name,) = (name for name in in_wheel(dist) if name.endswith("/METADATA"))
    return HeaderParser().parsestr(zipfile.ZipFile(wheel).read(name).decode())


def test_the_wheel_holds_every_file_of_the_package_and_no_other(dist: Path) -> None:
    packaged = {name for name in in_wheel(dist) if ".dist-info/" not in name}
    assert packaged == in_sources()
    assert "shoal/py.typed" in packaged


def test_the_sdist_holds_all_that_the_wheel_is_built_from(dist: Path) -> None:
    (archive,) = dist.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    wanted = {"src/" + name for name in in_sources()}
    assert wanted | {"pyproject.toml", "README.md", "LICENSE"} <= names


def test_the_licence_comes_along(dist: Path) -> None:
    assert metadata(dist)["License-Expression"] == "BSD-3-Clause"
    assert any(name.endswith("/licenses/LICENSE") for name in in_wheel(dist))


def test_only_django_and_rich_are_needed_at_run_time(dist: Path) -> None:
    needed = metadata(dist).get_all("Requires-Dist") or []
    always = {line.split("<")[0].split(">")[0] for line in needed if ";" not in line}
    assert always == {"Django", "rich"}


def test_the_extras_are_the_documented_ones(dist: Path) -> None:
    extras = metadata(dist).get_all("Provides-Extra") or []
    optional = {"postgres", "mysql", "celery", "metrics", "tracing"}
    assert set(extras) == optional | {"lab", "dev"}


def test_the_version_is_the_packages_own(dist: Path) -> None:
    import shoal

    assert metadata(dist)["Version"] == shoal.__version__


def test_every_supported_python_and_django_is_classified(dist: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    classifiers = metadata(dist).get_all("Classifier") or []
    floor = project["requires-python"].removeprefix(">=")
    assert f"Programming Language :: Python :: {floor}" in classifiers
    for series in ("5.2", "6.0", "6.1"):
        assert f"Framework :: Django :: {series}" in classifiers
