"""The setting: what is read, and the whole text of what is refused."""

import copy
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from shoal.conf import SHARDED_ENGINE, Conf, get_conf, parse
from shoal.errors import SettingsError

PG = {"ENGINE": "django.db.backends.postgresql"}
FULL_DEFAULT: dict[str, dict[str, Any]] = {"default": PG, "main": PG}
DATABASES: dict[str, dict[str, Any]] = {
    "default": {},
    "main": PG,
    "main_r1": PG,
    "main_r2": PG,
    "site": PG,
    "site_draft": PG,
    "analytics": {"ENGINE": "django.db.backends.mysql"},
}


def problems_of(setting: object) -> list[str]:
    return [f"{p.id}: {p.message} {p.hint}" for p in parse(setting, DATABASES)[1]]


def clusters(**entries: Any) -> dict[str, Any]:
    return {"CLUSTERS": entries}


def test_reads_a_whole_setting() -> None:
    conf, problems = parse(
        {
            "CLUSTERS": {
                "main": {
                    "APPS": ["auth"],
                    "MODELS": ["core.CustomerSupport"],
                    "REPLICAS": {"main_r1": {"WEIGHT": 2}, "main_r2": {}},
                    "CONSISTENCY": "eventual",
                    "MAX_LAG": 5,
                },
                "site": {
                    "APPS": ("pages",),
                    "ROLES": {"public": "site", "draft": "site_draft"},
                    "REQUEST_ROLE": "project.roles.role_of",
                },
            },
            "CONTROL": "main",
        },
        DATABASES,
    )
    assert problems == ()
    main, site = conf.clusters["main"], conf.clusters["site"]
    assert (main.apps, main.models) == (("auth",), ("core.customersupport",))
    assert [(r.alias, r.weight) for r in main.replicas] == [
        ("main_r1", 2.0),
        ("main_r2", 1.0),
    ]
    assert (main.consistency, main.max_lag) == ("eventual", 5.0)
    assert dict(site.roles) == {"public": "site", "draft": "site_draft"}
    assert site.request_role == "project.roles.role_of"
    assert conf.control == "main"


def test_an_empty_setting_has_no_clusters() -> None:
    assert parse({}, DATABASES) == (Conf(clusters={}), ())


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        (
            {"CLUSTER": {}},
            "shoal.E001: SHOAL has the unknown key 'CLUSTER'. "
            "Did you mean 'CLUSTERS'? Known: 'CLUSTERS', 'CONTROL', "
            "'TOKEN_COOKIE'.",
        ),
        (
            ["main"],
            "shoal.E001: SHOAL is a list, not a dict. "
            "See the settings reference for its shape.",
        ),
        (
            clusters(main={"REPLICA": ["main_r1"]}),
            """shoal.E001: SHOAL["CLUSTERS"]['main'] has the unknown key 'REPLICA'. """
            "Did you mean 'REPLICAS'? Known: 'APPS', 'CONSISTENCY', 'GATHER', "
            "'IDS', 'KEYS', 'MAX_GATHER_ROWS', 'MAX_LAG', 'MODELS', 'REPLICAS', "
            "'REQUEST_ROLE', 'ROLES', 'SCATTER', 'SHARDS', "
            "'TIMEOUT', 'TWO_PHASE'.",
        ),
        (
            clusters(mian={}),
            """shoal.E002: SHOAL["CLUSTERS"] names the alias 'mian', which is not in """
            "DATABASES. Did you mean 'main'? Known: 'analytics', 'main', 'main_r1', "
            "'main_r2', 'site', 'site_draft'.",
        ),
        (
            clusters(default={}),
            """shoal.E008: SHOAL["CLUSTERS"] names the alias 'default', which is """
            "empty in DATABASES. Give 'default' an ENGINE, or name one of: main, "
            "main_r1, main_r2, site, site_draft, analytics.",
        ),
        (
            clusters(main={"APPS": "auth"}),
            """shoal.E001: SHOAL["CLUSTERS"]['main']['APPS'] is 'auth', not a list """
            """of strings. Write "APPS": ['auth'].""",
        ),
        (
            clusters(main={"MODELS": ["User"]}),
            """shoal.E001: SHOAL["CLUSTERS"]['main']["MODELS"] names 'User', which """
            """is not a model label. Write "app_label.ModelName", as in "auth.User".""",
        ),
        (
            clusters(main={"APPS": ["auth"]}, site={"APPS": ["auth"]}),
            "shoal.E006: 'auth' is claimed by the clusters 'main' and 'site'. "
            "Keep it in one of the two APPS.",
        ),
        (
            clusters(main={"MODELS": ["a.B"]}, site={"MODELS": ["a.b"]}),
            "shoal.E006: 'a.b' is claimed by the clusters 'main' and 'site'. "
            "Keep it in one of the two MODELS.",
        ),
        (
            clusters(main={"APPS": ["auth"], "REPLICAS": ["main"]}),
            "shoal.E007: 'main' is listed as a replica of cluster 'main', but it is "
            "its primary. "
            "An alias is one thing: list it once, or add another alias.",
        ),
        (
            clusters(main={"REPLICAS": ["analytics"]}),
            "shoal.E007: 'analytics' is listed as a replica of 'main', but its ENGINE "
            "is 'django.db.backends.mysql' and not 'django.db.backends.postgresql'. "
            "A replica runs the same engine as its primary.",
        ),
        (
            clusters(main={"REPLICAS": ["main_r1"]}, site={"REPLICAS": ["main_r1"]}),
            "shoal.E007: 'main_r1' is listed as a replica of cluster 'site', but it "
            "is a replica of cluster 'main'. "
            "An alias is one thing: list it once, or add another alias.",
        ),
        (
            clusters(main={"REPLICAS": {"main_r1": {"WEIGHT": -1}}}),
            """shoal.E001: SHOAL["CLUSTERS"]['main']["REPLICAS"]['main_r1']["WEIGHT"]"""
            " is -1. A weight is a number: 2 serves twice the reads of 1, and 0 none.",
        ),
        (
            clusters(main={"CONSISTENCY": "sesion"}),
            """shoal.E001: SHOAL["CLUSTERS"]['main']["CONSISTENCY"] is 'sesion'. """
            "Did you mean 'session'? Known: 'eventual', 'primary', 'session'.",
        ),
        (
            clusters(main={"MAX_LAG": "30"}),
            """shoal.E001: SHOAL["CLUSTERS"]['main']["MAX_LAG"] is '30'. """
            "It is a number of seconds above 0.",
        ),
        (
            clusters(site={"ROLES": {"draft": "site_draft"}}),
            """shoal.E001: SHOAL["CLUSTERS"]['site']["ROLES"] must give exactly one """
            "role to 'site' itself. Add the role that a visitor has by default: "
            """"public": 'site'.""",
        ),
        (
            clusters(site={"REQUEST_ROLE": "a.b"}),
            """shoal.E001: SHOAL["CLUSTERS"]['site'] has "REQUEST_ROLE" but no """
            """"ROLES". Add "ROLES": {"public": "site", "draft": "site_draft"}.""",
        ),
        (
            {"CLUSTERS": {"main": {"REPLICAS": ["main_r1"]}}, "CONTROL": "main_r1"},
            """shoal.E007: SHOAL["CONTROL"] is 'main_r1', which is a replica. """
            "Shoal writes there: name the alias of a primary.",
        ),
    ],
)
def test_names_what_is_wrong_and_the_way_out(setting: Any, expected: str) -> None:
    before = copy.deepcopy(setting)
    assert problems_of(setting) == [expected]
    assert setting == before


@pytest.mark.parametrize(
    ("entry", "what"),
    [
        ({"REPLICAS": ["default"]}, "a replica"),
        ({"ROLES": {"public": "main", "draft": "default"}}, "the edition 'draft'"),
    ],
)
def test_default_is_no_member_of_another_cluster(entry: Any, what: str) -> None:
    (problem,) = parse(clusters(main=entry), FULL_DEFAULT)[1]
    assert problem.message == (
        f"'default' is listed as {what} of cluster 'main', but it is where all models "
        "live that no cluster claims."
    )


def test_an_edition_has_no_roles_of_its_own() -> None:
    roles = {"public": "site", "draft": "site_draft"}
    twice = {"public": "site_draft", "draft": "main"}
    found = problems_of(clusters(site={"ROLES": roles}, site_draft={"ROLES": twice}))
    assert found == [
        """shoal.E001: SHOAL["CLUSTERS"]['site_draft'] has "ROLES", but it is an """
        "edition of another cluster. Roles belong to the cluster that has the APPS; "
        "remove them here."
    ]


def test_one_error_names_every_problem() -> None:
    setting = {"CLUSTERS": {"accounts": {"APP": []}}, "CONTROL": "nowhere"}
    with override_settings(SHOAL=setting), pytest.raises(SettingsError) as caught:
        get_conf()
    assert isinstance(caught.value, ImproperlyConfigured)
    text = str(caught.value)
    assert text.startswith("The SHOAL setting has 2 problems:\n- ")
    assert "unknown key 'APP'" in text
    assert "'nowhere'" in text
    assert text.endswith("Hint: `manage.py check` lists them with their ids.")


def test_follows_override_settings() -> None:
    with override_settings(SHOAL={"CLUSTERS": {"feedback": {}}}):
        assert list(get_conf().clusters) == ["feedback"]
    assert "catalog" in get_conf().clusters


def test_shows_no_password() -> None:
    databases = {"main": {**PG, "PASSWORD": "hunter2"}}
    conf, problems = parse(clusters(main={"REPLICAS": ["other"]}), databases)
    assert problems
    assert "hunter2" not in repr(conf) + repr(problems)


SHARDED: dict[str, dict[str, Any]] = {
    "default": {},
    "main": PG,
    "reviews": {"ENGINE": SHARDED_ENGINE},
    "r0": PG,
    "r1": PG,
    "r1_replica": PG,
    "my": {"ENGINE": "django.db.backends.mysql"},
    "more": {"ENGINE": SHARDED_ENGINE},
}


def of_shards(databases: Any = SHARDED, /, **entries: Any) -> list[str]:
    entries.setdefault("more", {"SHARDS": ["my"]})
    found = parse(clusters(**entries) | {"CONTROL": "main"}, databases)[1]
    return [f"{p.id}: {p.message} {p.hint}" for p in found]


def test_reads_shards() -> None:
    entry = {
        "APPS": ["reviews"],
        "SHARDS": ["r0", "r1"],
        "IDS": "plain",
        "KEYS": {"reviews.Review": "product", "reviews.Vote": ["a", "b"]},
        "MAX_GATHER_ROWS": 10,
        "GATHER": "error",
        "TIMEOUT": 2.5,
    }
    own = {"REPLICAS": ["r1_replica"]}
    assert of_shards(reviews=entry, r1=own) == []
    conf = parse(clusters(reviews=entry, r1=own), SHARDED)[0]
    reviews = conf.clusters["reviews"]
    assert (reviews.shards, reviews.ids) == (("r0", "r1"), "plain")
    assert reviews.max_gather_rows == 10
    assert (reviews.scatter, reviews.gather) == ("allow", "error")
    assert reviews.timeout == 2.5
    assert dict(reviews.keys) == {
        "reviews.review": ("product",),
        "reviews.vote": ("a", "b"),
    }


def test_shoals_own_tables_are_on_default_or_on_the_first_home_shard() -> None:
    entry = clusters(reviews={"SHARDS": ["r0", "r1"]})
    assert parse(entry, SHARDED)[0].control == "r0"
    conf = parse(entry, SHARDED | FULL_DEFAULT)[0]
    assert conf.control == "default"
    assert "default" in conf.clusters
    assert parse(clusters(main={}), SHARDED)[0].control is None


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        (
            {"reviews": {"APPS": ["reviews"]}},
            "shoal.E021: 'reviews' has the ENGINE 'shoal.backends.sharded', but "
            """SHOAL["CLUSTERS"]['reviews'] has no shards. Add "SHARDS": ["...", """
            '"..."]; the first is home.',
        ),
        (
            {"reviews": {"SHARDS": ["r0", "my"]}, "more": {"SHARDS": ["r1"]}},
            "shoal.E022: 'my', a shard of 'reviews', has the ENGINE "
            "'django.db.backends.mysql', but the home shard 'r0' has "
            "'django.db.backends.postgresql'. All shards of a cluster run the same "
            "engine.",
        ),
        (
            {"reviews": {"SHARDS": ["more"]}},
            "shoal.E022: 'more' is a shard of 'reviews', and sharded itself. A shard "
            "is one database, with or without replicas.",
        ),
        (
            {"reviews": {"SHARDS": ["r0", "r1"]}, "r1": {"APPS": ["auth"]}},
            "shoal.E007: 'r1' is listed as a shard of cluster 'reviews', but it is "
            "the primary of cluster 'r1'. An alias is one thing: list it once, or add "
            "another alias.",
        ),
        (
            {"reviews": {"SHARDS": ["r0", "r0"]}},
            "shoal.E007: 'r0' is listed twice as a shard of cluster 'reviews'. List "
            "each shard once.",
        ),
        (
            {"main": {"IDS": "plain"}, "reviews": {"SHARDS": ["r0"]}},
            """shoal.E001: SHOAL["CLUSTERS"]['main'] has 'IDS', but no shards. Add """
            """"SHARDS": ["...", "..."], or remove 'IDS'.""",
        ),
        (
            {"reviews": {"SHARDS": ["r0"], "IDS": "big"}},
            """shoal.E001: SHOAL["CLUSTERS"]['reviews']["IDS"] is 'big'. Known: """
            "'bucketed', 'plain'.",
        ),
        (
            {"reviews": {"SHARDS": ["r0"], "KEYS": {"Review": "product"}}},
            """shoal.E001: SHOAL["CLUSTERS"]['reviews']["KEYS"] names 'Review', """
            """which is not a model label. Write "app_label.ModelName": "field".""",
        ),
        (
            {"reviews": {"SHARDS": ["r0"], "KEYS": {"a.Review": 1}}},
            """shoal.E001: SHOAL["CLUSTERS"]['reviews']["KEYS"]['a.Review'] is 1, """
            """not the name of a field. Write {'a.Review': "field"}.""",
        ),
        (
            {"reviews": {"SHARDS": ["r0"], "MAX_GATHER_ROWS": 0}},
            """shoal.E001: SHOAL["CLUSTERS"]['reviews']["MAX_GATHER_ROWS"] is 0. It """
            "is a number of rows above 0.",
        ),
        (
            {"reviews": {"SHARDS": ["r0"], "GATHER": "errors"}},
            """shoal.E001: SHOAL["CLUSTERS"]['reviews']["GATHER"] is 'errors'. Did """
            """you mean 'error'? Known: 'allow', 'error'.""",
        ),
        (
            {"reviews": {"SHARDS": ["r0"], "SCATTER": True}},
            """shoal.E001: SHOAL["CLUSTERS"]['reviews']["SCATTER"] is True. """
            """Known: 'allow', 'error'.""",
        ),
        *(
            (
                {"reviews": {"SHARDS": ["r0"], "TIMEOUT": wrong}},
                """shoal.E001: SHOAL["CLUSTERS"]['reviews']["TIMEOUT"] is """
                f"{wrong!r}. It is a number of seconds above 0, or None.",
            )
            for wrong in (0, -1, "1", True)
        ),
        (
            {"reviews": {"SHARDS": ["r0"], "REPLICAS": ["r1_replica"]}},
            """shoal.E001: SHOAL["CLUSTERS"]['reviews'] has 'REPLICAS', but it is a """
            "sharded cluster. A shard is a cluster: give replicas to each shard, in "
            "an entry of its own. Editions of a sharded cluster are not supported.",
        ),
    ],
)
def test_names_what_is_wrong_with_shards(entries: Any, expected: str) -> None:
    assert of_shards(**entries) == [expected]


def test_a_cluster_of_shards_has_an_alias_of_its_own() -> None:
    found = parse(clusters(main={"SHARDS": ["site"]}), DATABASES)[1]
    assert [f"{p.id}: {p.message} {p.hint}" for p in found] == [
        """shoal.E021: SHOAL["CLUSTERS"]['main'] has "SHARDS", but the ENGINE of """
        "'main' is 'django.db.backends.postgresql'. Give it an alias of its own: "
        """'main': {"ENGINE": "shoal.backends.sharded"}."""
    ]


def test_a_sharded_alias_has_an_entry() -> None:
    found = parse(clusters(more={"SHARDS": ["my"]}), SHARDED)[1]
    assert [p.message for p in found] == [
        "'reviews' has the ENGINE 'shoal.backends.sharded', but no entry in "
        """SHOAL["CLUSTERS"] says what its shards are."""
    ]


def test_the_control_database_is_not_sharded() -> None:
    databases = {k: v for k, v in SHARDED.items() if k != "more"}
    entry = clusters(reviews={"SHARDS": ["r0"]}) | {"CONTROL": "reviews"}
    (problem,) = parse(entry, databases)[1]
    assert (
        problem.message
        == """SHOAL["CONTROL"] is 'reviews', which is a sharded alias."""
    )
