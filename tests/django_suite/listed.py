"""Takes the text of expected_failures.txt, gives the tests that may fail. Pure.

    [reasons]
    plan = The plan of a query over four shards is not that of one server.

    [tests]
    queries.test_explain.ExplainTests.test_basic  # plan
    lookup.tests.LookupTests.test_exists  sqlite 5.2  # plan; and what is special here

Between a test and its reason stands where it fails: vendors and versions of Django
(none: everywhere), `plain` if it fails on one database too, and `flaky` if it fails
only sometimes.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tests.django_suite.failure import SuiteError

VENDORS = frozenset({"sqlite", "postgresql"})
MARKS = frozenset({"plain", "flaky"})
VERSION = re.compile(r"\d+\.\d+")
LINE = re.compile(r"(?P<test>[\w.]+)(?P<where>(?:\s+[\w.]+)*)\s+#\s*(?P<why>\S.*)")


@dataclass(frozen=True)
class Setting:
    """What a run runs on."""

    vendor: str
    version: str
    """Of Django, without the last number."""
    plain: bool


@dataclass(frozen=True, kw_only=True)
class Listed:
    """One test that may fail."""

    test: str
    reason: str
    where: frozenset[str]

    @property
    def flaky(self) -> bool:
        return "flaky" in self.where

    def applies(self, setting: Setting) -> bool:
        vendors = self.where & VENDORS
        versions = self.where - VENDORS - MARKS
        return (
            (not vendors or setting.vendor in vendors)
            and (not versions or setting.version in versions)
            and (not setting.plain or "plain" in self.where)
        )


def parse(text: str) -> tuple[Listed, ...]:
    """Return what the text lists, or raise `SuiteError` with the line at fault."""
    reasons: dict[str, str] = {}
    found: dict[tuple[str, frozenset[str]], Listed] = {}
    for number, section, line in _lines(text):
        if section == "reasons":
            word, _, sentence = (part.strip() for part in line.partition("="))
            if not sentence or word in reasons:
                raise _wrong(number, line, "A reason is `word = Sentence.`, once.")
            reasons[word] = sentence
            continue
        listed = _listed(number, line, reasons)
        if (listed.test, listed.where) in found:
            raise _wrong(number, line, "It is listed twice; leave one.")
        found[listed.test, listed.where] = listed
    return tuple(found.values())


def _lines(text: str) -> Iterator[tuple[int, str, str]]:
    section = ""
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if line in ("[reasons]", "[tests]"):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            if not section:
                raise _wrong(number, line, "Begin with [reasons].")
            yield number, section, line


def _listed(number: int, line: str, reasons: dict[str, str]) -> Listed:
    found = LINE.fullmatch(line)
    if found is None:
        raise _wrong(number, line, "A test is `module.Class.test  # reason`.")
    where = frozenset(found["where"].split())
    odd = sorted(w for w in where - VENDORS - MARKS if not VERSION.fullmatch(w))
    if odd:
        known = ", ".join(sorted(VENDORS | MARKS))
        raise _wrong(number, line, f"{odd[0]!r} is none of {known} and no version.")
    word = found["why"].partition(";")[0].strip()
    if word not in reasons:
        raise _wrong(number, line, f"Reasons are: {', '.join(reasons)}.")
    return Listed(test=found["test"], reason=word, where=where)


def _wrong(number: int, line: str, hint: str) -> SuiteError:
    return SuiteError(
        f"Line {number} of the expected failures cannot be read: {line!r}.", hint=hint
    )
