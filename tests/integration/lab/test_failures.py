"""What is wrong is said clearly, and nothing is left of a lab that did not start."""

import os
import shutil
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from shoal.lab import Lab, LabError, MariaDB, Postgres
from shoal.lab.binaries import find_postgres
from shoal.lab.fleet import Programs, fleet
from shoal.lab.server import LabServer, Site
from shoal.lab.tether import Tether
from tests.integration.lab.traces import Traces


def test_a_server_that_refuses_its_settings_shows_its_log(traces: Traces) -> None:
    lab = Lab(Postgres("good"), Postgres("bad", settings={"work_mem": "plenty"}))
    with pytest.raises(LabError) as caught:
        lab.start()
    text = str(caught.value)
    assert text.startswith(f"Server 'bad' (postgresql {find_postgres().version}) ended")
    assert 'invalid value for parameter "work_mem": "plenty"' in text
    assert "Hint: The settings given for it reach the server as they are" in text
    traces.assert_none()


@pytest.mark.mariadb
def test_mariadb_that_refuses_its_settings_shows_its_log(traces: Traces) -> None:
    with pytest.raises(LabError) as caught:
        Lab(MariaDB("bad", settings={"no_such": "1"})).start()
    assert str(caught.value).startswith("Server 'bad' (mariadb 1")
    assert "unknown variable 'no-such=1'" in str(caught.value)
    traces.assert_none()


@pytest.mark.mariadb
def test_a_missing_mariadb_says_how_to_install_it(
    traces: Traces, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(LabError) as caught:
        Lab(MariaDB("analytics")).start()
    assert str(caught.value) == (
        "The program 'mariadbd' was not found.\nHint: apt-get install mariadb-server"
    )
    traces.assert_none()


def two_servers(tether: Tether) -> tuple[LabServer, LabServer]:
    clusters = (Postgres("one"), Postgres("two"))
    site = Site(tether=tether, password="secret-of-this-test")
    programs = Programs.find(clusters, None).within_reach(site)
    (one,), (two,) = fleet(clusters, programs, site)
    return one, two


def test_another_port_is_chosen_when_the_first_is_taken(traces: Traces) -> None:
    tether = Tether()
    one, two = two_servers(tether)
    assert one.port != two.port
    try:
        with socket.socket() as thief:
            thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            thief.bind(("127.0.0.1", one.port))
            thief.listen()
            stolen = one.port
            one.prepare([])
            one.begin()
        assert one.port != stolen
        assert one.sql("SHOW port") == [(str(one.port),)]
    finally:
        tether.close()
    traces.assert_none()


def test_a_port_that_is_taken_while_the_server_is_down_is_named(
    traces: Traces,
) -> None:
    with Lab(Postgres("one")) as lab, socket.socket() as thief:
        server = lab["one"]
        server.stop()
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        thief.bind(("127.0.0.1", server.port))
        thief.listen()
        with pytest.raises(LabError) as caught:
            server.start()
        assert "Address already in use" in str(caught.value)
        assert f"Hint: Free port {server.port}" in str(caught.value)
        assert not server.running


def test_a_directory_too_long_for_sockets_is_an_error(
    traces: Traces, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = traces.path / ("x" * 90)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    with pytest.raises(LabError, match=r"has a path of \d+ bytes.\nHint: .*TMPDIR"):
        Lab(Postgres("one")).start()
    assert list(deep.iterdir()) == []
    deep.rmdir()


def test_several_labs_run_at_once(traces: Traces) -> None:
    labs = [Lab(Postgres("same")), Lab(Postgres("same"))]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(Lab.start, labs))
    first, second = (lab["same"] for lab in labs)
    try:
        assert first.port != second.port
        first.sql("CREATE TABLE of_the_first (a int)")
        assert second.sql("SELECT to_regclass('of_the_first')") == [(None,)]
        labs[0].stop()
        assert second.sql("SELECT 1") == [(1,)]
    finally:
        for lab in labs:
            lab.stop()
    traces.assert_none()


def test_binaries_where_the_servers_user_may_not_go_are_copied(traces: Traces) -> None:
    """Everything is its owner's alone, as after a checkout by root with umask 077."""
    program = """
        import os, sys
        from pathlib import Path
        from shoal.lab import Lab, Postgres
        with Lab(Postgres("one", replicas=("one_r1",))) as lab:
            copied = (lab["one"].log_path.parents[1] / "binaries").exists()
            assert copied == (os.geteuid() == 0), copied
            assert lab["one_r1"].sql("SELECT 1") == [(1,)]
    """
    source = find_postgres().directory.parents[1]
    private = traces.path / "private"
    private.mkdir(mode=0o700)
    for part in (source, source.with_suffix(".libs")):
        (private / part.name).symlink_to(part)
    ran = subprocess.run(
        [sys.executable, "-c", "\n".join(x[8:] for x in program.splitlines())],
        env={
            **os.environ,
            "SHOAL_PG_BIN": str(private / source.name / "pginstall" / "bin"),
        },
        umask=0o077,
        cwd="/",
        capture_output=True,
        text=True,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    shutil.rmtree(private)
    traces.assert_none()


def test_servers_run_without_the_rights_of_root(postgres: Lab) -> None:
    for server in postgres:
        owner = Path(f"/proc/{server.pid}").stat().st_uid
        assert owner != 0
        assert server.data_directory.stat().st_uid == owner
        assert server.data_directory.stat().st_mode & 0o077 == 0
        assert server.data_directory.parents[1].stat().st_mode & 0o077 == 0
