"""The rules of `make test-django`: what is listed, how tests ended, what that means."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.django_suite import listed, report, tally
from tests.django_suite.answers import Answers, forgiven, read_answers
from tests.django_suite.failure import SuiteError
from tests.django_suite.listed import Setting
from tests.django_suite.outcomes import Outcome, read
from tests.django_suite.run import EXPECTED, MODULES, main, modules, parser
from tests.django_suite.site import SHARDED, site
from tests.django_suite.source import pinned
from tests.django_suite.verdict import by_error, gist, judge

from shoal.sharding import reading
from shoal.sharding.occurrences import Levels

TEXT = """
# A comment.
[reasons]
plan = It reads the plan of a query.
time = It waits for a clock.

[tests]
queries.tests.A.test_one  # plan
queries.tests.A.test_two  sqlite 5.2  # plan; as one shard is asked
queries.tests.A.test_three  plain flaky  # time
"""
FAILED = Outcome("failed", "Error: no")
PASSED = Outcome("passed")


def names(*, vendor: str = "sqlite", version: str = "5.2", plain: bool = False) -> str:
    setting = Setting(vendor, version, plain)
    applying = [line for line in listed.parse(TEXT) if line.applies(setting)]
    return " ".join(line.test.rpartition("_")[2] for line in applying)


def lines(*entries: Mapping[str, object]) -> list[str]:
    return [json.dumps(entry) for entry in entries]


def kinds(*entries: Mapping[str, object], status: int = 0) -> dict[str, str]:
    found = read(lines(*entries), label="basic", status=status, last="Boom")
    return {test: outcome.kind for test, outcome in found.items()}


def test_a_line_applies_where_it_says() -> None:
    assert names() == "one two three"
    assert names(vendor="postgresql") == "one three"
    assert names(version="6.1") == "one three"
    assert names(plain=True) == "three"


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("a.b.C.test_x", "A test is `module.Class.test  # reason`."),
        ("a.b.C.test_x  # plane", "Reasons are: plan, time."),
        ("a.b.C.test_x  mysql  # plan", "'mysql' is none of flaky, plain, postgresql"),
        ("queries.tests.A.test_one  # time", "It is listed twice; leave one."),
    ],
)
def test_a_line_that_cannot_be_read_is_named(line: str, hint: str) -> None:
    with pytest.raises(SuiteError) as caught:
        listed.parse(TEXT + line)
    assert f"Line 11 of the expected failures cannot be read: {line!r}." in str(
        caught.value
    )
    assert hint in str(caught.value)


def test_every_reason_is_a_sentence_and_unique() -> None:
    for reason in ("plan =", "plan = One.\nplan = Two.", "plan"):
        with pytest.raises(SuiteError, match="A reason is"):
            listed.parse(f"[reasons]\n{reason}")
    with pytest.raises(SuiteError, match="Begin with"):
        listed.parse("a.b.C.test_x  # plan")


def test_what_is_committed_can_be_read() -> None:
    ours = {label.partition(".")[0] for label in modules(MODULES.read_text(), "sqlite")}
    assert {"basic", "queries"} < ours
    for line in listed.parse(EXPECTED.read_text()):
        assert line.test.partition(".")[0] in ours, line


def test_modules_may_be_for_one_vendor() -> None:
    text = "# All\nbasic\nbackends postgresql  # locks\n\n"
    assert modules(text, "sqlite") == ["basic"]
    assert modules(text, "postgresql") == ["basic", "backends"]


def test_the_worst_that_was_recorded_counts() -> None:
    assert kinds(
        {"planned": ["basic.A.one", "basic.A.two"]},
        {"test": "basic.A.one", "outcome": "failed", "error": "in a subtest"},
        {"test": "basic.A.one", "outcome": "passed"},
        {"test": "basic.A.two", "outcome": "passed"},
    ) == {"basic.A.one": "failed", "basic.A.two": "passed"}


def test_a_class_whose_set_up_failed_failed_whole() -> None:
    assert kinds(
        {"planned": ["basic.A.one", "basic.A.two", "basic.AB.one"]},
        {"test": "setUpClass (basic.A)", "outcome": "failed"},
        {"test": "basic.AB.one", "outcome": "passed"},
        {"test": "tearDownClass (basic.AB)", "outcome": "failed"},
    ) == {
        "basic.A.one": "failed",
        "basic.A.two": "failed",
        "basic.AB.one": "passed",
        "basic.AB.tearDownClass": "failed",
    }


def test_a_run_that_broke_down_has_not_passed() -> None:
    planned = {"planned": ["basic.A.one"]}
    passed = {"test": "basic.A.one", "outcome": "passed"}
    assert kinds(planned) == {"basic.A.one": "failed"}
    assert kinds(status=1) == {"basic.runtests": "failed"}
    assert kinds() == {"basic.runtests": "failed"}
    assert kinds(planned, passed, status=1)["basic.runtests"] == "failed"
    assert kinds(planned, passed, status=0) == {"basic.A.one": "passed"}


def test_a_skip_that_only_the_sharded_alias_asks_for_is_no_skip() -> None:
    denied = {"features": ["has_x"], "skips": ["basic.A.four"]}
    lacks = "Database doesn't support feature(s): "
    skips = {
        "basic.A.one": lacks + "has_x, has_y",
        "basic.A.two": lacks + "has_y",
        "basic.A.three": "has_x",
        "basic.A.four": "It reads the plan.",
    }
    recorded = [
        {"test": test, "outcome": "skipped", "error": why}
        for test, why in skips.items()
    ]
    assert kinds({"planned": list(skips)}, denied, *recorded) == {
        "basic.A.one": "withheld",
        "basic.A.two": "skipped",
        "basic.A.three": "skipped",
        "basic.A.four": "withheld",
    }


def test_only_what_is_listed_may_fail_and_must() -> None:
    expected = listed.parse(TEXT)
    one, two, three = (f"queries.tests.A.test_{n}" for n in ("one", "two", "three"))
    good = judge({one: FAILED, two: FAILED, three: PASSED}, expected, whole=["queries"])
    assert good.good
    assert good.accepted == (one, two)
    assert good.counts == {"failed": 2, "passed": 1}

    bad = judge({one: PASSED, "queries.B.x": FAILED}, expected, whole=["queries"])
    assert not bad.good
    assert bad.new == {"queries.B.x": FAILED}
    assert bad.healed == (one,)
    assert bad.gone == (three, two)
    # A part of a module says nothing about the other tests of it.
    assert judge({one: FAILED}, expected).good


def test_a_listed_test_that_is_skipped_is_not_a_failure() -> None:
    (first, *_) = listed.parse(TEXT)
    assert judge({first.test: Outcome("skipped")}, [first]).healed == (first.test,)
    withheld = Outcome("withheld")
    assert judge({first.test: withheld}, [first]).good
    assert judge({"a.B.c": withheld}, [first]).new == {"a.B.c": withheld}


def test_failures_are_grouped_by_their_error() -> None:
    other = Outcome("failed", "Other: no")
    failing = {"a.one": other, "a.two": FAILED, "a.three": FAILED}
    assert by_error(failing) == [
        ("failed: Error: no", ["a.three", "a.two"]),
        ("failed: Other: no", ["a.one"]),
    ]
    text = "\n".join(report.complaints(judge(failing, ())))
    assert "3 tests did not pass and are not listed" in text
    assert "    2 x failed: Error: no\n        a.three\n        a.two" in text


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("AssertionError: 14 != 3 : 14 queries, 3.5 s", "… != … : … queries, … s"),
        ("AssertionError: Lists differ: [1] != [2]", "Lists differ: …"),
        (f"DatabaseError: near '{'x' * 30}' of 'a'", "near … of 'a'"),
    ],
)
def test_values_do_not_part_one_error_into_many(error: str, said: str) -> None:
    assert gist(error).partition(": ")[2] == said


def test_the_line_of_a_module_has_its_numbers() -> None:
    verdict = judge({"a.one": FAILED, "a.two": PASSED}, ())
    text = report.line("a", verdict, Answers(gathering=frozenset({"a.two"})), 1.25)
    assert text.split() == ["a", "2", "1", "0", "0", "1", "1", "1.2"]
    assert len(text) == len(report.heading())


def asked(test: str, way: str, why: str = "") -> dict[str, object]:
    grounds = {why: 2} if why else {}
    return {"asked": test, "ways": {way: 2}, "grounds": grounds}


def test_what_a_class_sets_up_is_needed_by_each_of_its_tests() -> None:
    found = read_answers(
        lines(
            {"planned": ["a.A.one", "a.A.two", "a.AB.one", "a.AB.two", "a.C.one"]},
            asked("setUpClass (a.A)", "gather", "a join"),
            asked("a.A.one", "gather", "a join"),
            asked("a.AB.one", "scatter"),
            asked("a.AB.two", "gather", "a window"),
            asked("tearDownClass (a.AB)", "gather", "a window"),
        )
    )
    assert found.gathering == {"a.A.one", "a.A.two", "a.AB.two"}
    assert found.asking == {*found.gathering, "a.AB.one"}
    assert found.ways == {"gather": 8, "scatter": 2}
    assert found.grounds == {"a join": 4, "a window": 4}
    assert found.share == 3 / 4


def test_the_share_is_printed_and_has_a_limit() -> None:
    tests = [f"a.{number}" for number in range(1500)]
    answers = Answers(
        asking=frozenset(tests),
        gathering=frozenset(tests[:524]),
        ways={"one shard": 7, "scatter": 1000, "gather": 3},
        grounds={"a window": 1, "a join": 2},
    )
    assert list(report.ways(answers, 2000)) == [
        "gather: 524 of 2,000 tests (26.2%), 34.9% of the 1,500 that query the sharded "
        "alias; queries: one shard 7, scattered 1,000, merged 0, gathered 3",
        "        2  a join",
        "        1  a window",
    ]
    assert not report.too_much(answers)
    more = replace(answers, gathering=frozenset(tests[:525]))
    assert report.too_much(more) == (
        "35.0% of the tests that query the sharded alias need to gather, where fewer "
        "than 35.0% may: a cheaper way has been lost."
    )
    assert list(report.ways(Answers(), 5)) == []
    assert not report.too_much(Answers())


def test_who_may_not_gather_and_has_to_is_neither_good_nor_bad() -> None:
    (first, *_) = listed.parse(TEXT)
    outcomes = {
        first.test: FAILED,
        "a.passed": PASSED,
        "a.skipped": Outcome("skipped"),
        "a.other": FAILED,
    }
    gathering = frozenset({first.test, "a.passed", "a.skipped"})
    found = forgiven(outcomes, Answers(gathering=gathering))
    assert [outcome.kind for outcome in found.values()] == [
        "gathers",
        "gathers",
        "skipped",
        "failed",
    ]
    verdict = judge(found, [first])
    assert list(verdict.new) == ["a.other"]
    assert not verdict.healed


@dataclass
class Planned:
    """A way that says a plan, and gives an answer."""

    planned: object
    answered: object

    def plan(self, sql: str, params: object) -> object:
        return self.planned

    def answer(self, sql: str, params: object, *, is_chunked: bool) -> object:
        return self.answered

    def shape(self) -> None:
        return None


class Scattered(Planned):
    pass


class Brought(Planned):
    pass


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> list[Planned]:
    """Stand in for the ways of a query; what a tally puts in their place goes again."""
    found: list[Planned] = []
    monkeypatch.setattr(reading, "ways", lambda compiler, levels, where: iter(found))
    monkeypatch.setattr(reading, "asked", lambda *args: None)
    monkeypatch.setattr(reading, "scattered", lambda *args: None)
    monkeypatch.setattr(tally, "WAYS", {Scattered: "scatter", Brought: "gather"})
    monkeypatch.setattr(tally, "ground", lambda *args: "a join")
    return found


def answer() -> object:
    found = (
        way.answer("SELECT", (), is_chunked=False)
        for way in reading.ways(None, Levels(), None)
    )
    return next(rows for rows in found if rows is not None)


def test_the_way_that_answers_is_counted(ways: list[Planned]) -> None:
    counts = tally.begin(forbidden=False)
    ways[:] = [Scattered("plan", "rows"), Brought("plan", "all")]
    assert answer() == "rows"
    assert counts.take() == {"ways": {"scatter": 1}, "grounds": {}}
    ways[0] = Scattered(None, None)
    assert answer() == "all"
    reading.asked("shop", "shop_0", None)
    reading.scattered("shop", ["shop_0"], None)
    assert counts.take() == {
        "ways": {"gather": 1, "one shard": 1, "scatter": 1},
        "grounds": {"a join": 1},
    }
    assert counts.take() == {}


def test_nothing_is_gathered_that_has_a_plan(ways: list[Planned]) -> None:
    ways[:] = [Scattered("plan", None), Brought("plan", "all")]
    counts = tally.begin(forbidden=True)
    with pytest.raises(AssertionError, match="A plan says 'scatter', but gathered"):
        answer()
    assert counts.take() == {}
    ways[0] = Scattered(None, None)
    assert answer() == "all"


def test_the_source_must_have_a_pinned_hash() -> None:
    pins = (
        "django==5.2.19 ; python_full_version < '3.12' \\\n    --hash=sha256:a \\\n"
        "    --hash=sha256:b\ndjango==6.1.3 ; x \\\n    --hash=sha256:c\n"
        "django-x==5.2.1 \\\n    --hash=sha256:d\n"
    )
    assert pinned(pins, "5.2.19") == pins[: pins.index("django==6.1.3")]
    assert pinned(pins, "6.1.3").endswith("--hash=sha256:c\n")
    with pytest.raises(SuiteError, match=r"has no hash for Django 5\.2\.1\."):
        pinned(pins, "5.2.1")


def test_the_sharded_alias_needs_nothing_but_its_engine() -> None:
    aliases = {"s0": {"ENGINE": "x"}, "other": {"ENGINE": "x"}}
    assert site(aliases, plain=False).databases == {"default": SHARDED, **aliases}
    assert site(aliases, plain=True).databases == aliases


def test_arguments_may_stand_in_any_order(tmp_path: Path) -> None:
    options = parser().parse_args(["basic", "--vendor", "postgresql", "-k", "x"])
    assert (options.modules, options.vendor, options.k) == (
        ["basic"],
        "postgresql",
        ["x"],
    )
    assert not options.plain
    assert not options.no_gather


def test_one_database_has_nothing_to_gather(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--plain", "--no-gather"]) == 1
    assert capsys.readouterr().err == (
        "One database has nothing to gather.\nHint: Leave out --plain or --no-gather.\n"
    )
