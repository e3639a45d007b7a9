"""A plan of a lab is checked before anything is started."""

import dataclasses

import pytest

from shoal.errors import LabError
from shoal.lab import Lab, MariaDB, Postgres
from shoal.lab.plan import Cluster, parse


def test_a_plan_is_a_frozen_value() -> None:
    plan = Postgres("films", replicas=("r1",), settings={"Work-Mem": "8MB"})
    other: Cluster = MariaDB("films", ("r1",), {"work_mem": "8MB"})
    assert plan == Postgres("films", ("r1",), {"work_mem": "8MB"})
    assert plan != other
    assert hash(plan) == hash(Postgres("films", ("r1",)))
    assert plan.servers == ("films", "r1")
    with pytest.raises(dataclasses.FrozenInstanceError):
        plan.name = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "plan"),
    [
        ("films", Postgres("films")),
        ("films=r1", Postgres("films", ("r1",))),
        ("films=r1,r2", Postgres("films", ("r1", "r2"))),
        ("postgres:films", Postgres("films")),
        ("mariadb:analytics=r1", MariaDB("analytics", ("r1",))),
    ],
)
def test_words_of_the_command_line_are_plans(text: str, plan: Cluster) -> None:
    assert parse(text) == plan


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("oracle:films", "'oracle:films' asks for a server of the unknown kind"),
        ("films=", "'films=' has an equals sign but no replicas"),
        ("films=r1,", "'' can't be the name of a server"),
        ("", "'' can't be the name of a server"),
        ("a=b=c", "'b=c' can't be the name of a server"),
    ],
)
def test_other_words_are_errors(text: str, message: str) -> None:
    with pytest.raises(LabError) as caught:
        parse(text)
    assert str(caught.value).startswith(message)
    assert "\nHint: " in str(caught.value)


@pytest.mark.parametrize("name", ["", "Films", "1st", "a-b", "a b", "é", "../x", "a'"])
def test_a_name_must_do_for_a_slot_and_a_path(name: str) -> None:
    with pytest.raises(LabError) as caught:
        Postgres(name)
    assert str(caught.value) == (
        f"{name!r} can't be the name of a server.\n"
        "Hint: A name has lower-case letters, digits and underscores, and "
        "doesn't start with a digit: it names a replication slot too."
    )


def test_a_name_has_at_most_63_characters() -> None:
    assert Postgres("x" * 63).name == "x" * 63
    with pytest.raises(LabError, match="has 64 characters"):
        Postgres("films", replicas=("x" * 64,))


def test_the_replicas_are_not_one_text() -> None:
    with pytest.raises(LabError) as caught:
        Postgres("films", replicas="r1")  # type: ignore[arg-type]
    assert str(caught.value) == (
        "The replicas of 'films' are the text 'r1'.\n"
        "Hint: Write a tuple of names: replicas=('r1',)."
    )


@pytest.mark.parametrize(
    ("kind", "setting"),
    [(Postgres, "port"), (Postgres, "Cluster_Name"), (MariaDB, "server-id")],
)
def test_settings_that_the_lab_needs_are_its_own(
    kind: type[Cluster], setting: str
) -> None:
    with pytest.raises(LabError, match=r"The setting '\w+' of 'films' belongs to the"):
        kind("films", settings={setting: "1"})


@pytest.mark.parametrize(
    "settings", [{"a b": "1"}, {"work_mem": "1\nport = 1"}, {"": "1"}, {"a": "\0"}]
)
def test_a_setting_is_one_line(settings: dict[str, str]) -> None:
    with pytest.raises(LabError, match="can't be a setting of 'films'"):
        Postgres("films", settings=settings)


def test_servers_have_different_names() -> None:
    with pytest.raises(LabError) as caught:
        Lab(Postgres("films", replicas=("r1",)), MariaDB("r1"))
    assert str(caught.value) == (
        "Two servers of the lab are named 'r1'.\n"
        "Hint: A server's name is its alias, so each needs its own."
    )


def test_a_lab_is_not_empty() -> None:
    with pytest.raises(LabError, match="A lab needs at least one cluster"):
        Lab()


def test_a_lab_that_is_down_has_no_databases() -> None:
    lab = Lab(Postgres("films"))
    assert repr(lab) == "<Lab 'films': down>"
    lab.stop()
    with pytest.raises(LabError) as caught:
        _ = lab.databases
    assert str(caught.value) == (
        "The lab is not up.\nHint: Use it in a `with` block, or call start()."
    )
