"""`manage.py shoal status` on real servers, well and unwell."""

from collections.abc import Iterator

import pytest

from shoal.lab import Lab, Postgres
from tests.integration.cli.conftest import Project, servers_of


@pytest.fixture(scope="module")
def spare() -> Iterator[Lab]:
    """A cluster that a test may break: its replica is promoted in the end."""
    with Lab(
        Postgres(
            "spare",
            replicas=("spare_r1",),
            settings={"max_prepared_transactions": "0"},
        )
    ) as servers:
        yield servers


def test_shows_who_serves_what(project: Project) -> None:
    done, as_json = project.each(["status"], ["status", "--json"])
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["library_r1", "replica", "north_r1", "postgresql"] in [x[:4] for x in lines]
    assert ["press_draft", "primary", "(draft)", "west"] in [x[:4] for x in lines]
    assert ["accounts", "contenttypes"] in lines
    data = as_json.data
    assert data["ok"]
    assert data["problems"] == []
    (accounts, library, press) = data["clusters"]
    assert accounts["apps"] == ["contenttypes"]
    assert [edition["role"] for edition in press["editions"]] == ["public", "draft"]
    (primary, replica) = library["editions"][0]["servers"]
    assert primary["server"] == "north"
    assert len(primary["unapplied"]) == 7
    assert replica["server"] == "north_r1"
    assert replica["is_replica"] is True
    assert replica["lag_seconds"] == 0.0
    assert replica["follows"].endswith(f":{project.servers['north'].port}")


def test_an_unreachable_server_and_a_wrong_password(project: Project) -> None:
    project.databases["press"]["PORT"] = "1"
    project.databases["accounts"]["PASSWORD"] = "not the right one"
    done, as_json = project.each(["status"], ["status", "--json"])
    assert (done.code, as_json.code) == (1, 1)
    assert "unreachable" in done.stdout
    assert "refuses us" in done.stdout
    assert "shoal.E013: The server of 'press' (127.0.0.1:1) cannot be" in done.stdout
    assert "shoal.E014: The server of 'accounts'" in done.stdout
    assert "Error: 2 problems with the servers: 'accounts', 'press'." in done.stderr
    data = as_json.data
    assert data["ok"] is False
    servers = servers_of(data)
    assert servers["press"]["error"] == "Connection refused"
    assert servers["press"]["unapplied"] is None
    assert servers["library"]["reachable"]


def test_a_replica_that_leads_to_the_primary(project: Project) -> None:
    project.databases["library_r1"] = project.databases["library"]
    (problem,) = project.shoal_command("status", "--json", code=1).data["problems"]
    assert problem["id"] == "shoal.E007"
    assert problem["message"] == (
        "'library_r1' is listed as a replica of 'library', but it leads to the primary "
        "itself (north)."
    )


def test_a_primary_that_is_a_replica(project: Project) -> None:
    replica = project.databases["library_r1"]
    project.databases["library"] = replica
    project.shoal["CLUSTERS"]["library"]["REPLICAS"] = []
    done = project.shoal_command("migrate", code=1)
    assert done.stderr.startswith(
        "Error: 'library' is the primary of a cluster, but its server 'north_r1' is a "
        "replica"
    )
    assert project.tables("press") == set()


def test_a_server_that_cannot_prepare_transactions(
    project: Project, spare: Lab
) -> None:
    project.databases["press"] = {**spare["spare"].alias, "NAME": "spare"}
    data = project.shoal_command("check", "--json").data
    (note,) = [m for m in data["messages"] if m["id"] == "shoal.I001"]
    assert note["level"] == "info"
    assert "max_prepared_transactions is 0 on 'spare' ('press')" in note["message"]


def test_a_replica_of_another_system_and_a_promoted_one(
    project: Project, spare: Lab
) -> None:
    replica = {**spare["spare_r1"].alias, "NAME": "spare"}
    project.databases["library_r1"] = replica
    done = project.shoal_command("status", code=1)
    said = "'library_r1' is listed as a replica of 'library', but its server "
    assert said + "'spare_r1' follows another system (" in done.stdout

    project.databases["library"] = {**spare["spare"].alias, "NAME": "spare"}
    assert "no issues" in project.manage("check", "--database", "library_r1").stdout
    spare["spare_r1"].promote()
    done = project.shoal_command("status", code=1)
    assert "not what is listed" in done.stdout
    said += "'spare_r1' is not a replica: it was promoted, or never was one."
    assert said in done.stdout
    django = project.manage("check", "--database", "library_r1", code=1)
    assert f"(shoal.E007) {said}" in django.stderr
    # Without a database Django asks no server.
    project.manage("check")
