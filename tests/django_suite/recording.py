"""
Takes a suite inside Django's runtests.py, gives one line of JSON for each outcome, and
one for what each test asked the sharded alias.

This is the TEST_RUNNER of settings.py. What the lines say is read by outcomes.py and
answers.py.
"""

import json
import os
import traceback
import unittest
from typing import Any

from django.conf import settings
from django.core.management.commands import flush, migrate
from django.core.management.sql import emit_post_migrate_signal
from django.db import connections
from django.test import testcases
from django.test.runner import DiscoverRunner
from django.test.utils import iter_test_cases  # type: ignore[attr-defined]

VARIABLE = "SHOAL_DJANGO_SUITE_RECORD"


def record(**line: Any) -> None:
    with open(os.environ[VARIABLE], "a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


class RecordingResult(unittest.TextTestResult):
    """Writes down how each test ended, as soon as it has, and what it asked."""

    tally: Any = None
    """Counts what the sharded alias is asked; `None`: there is none."""
    _class: type | None = None

    def startTest(self, test: Any) -> None:
        # Django prepares a test and tidies up after it outside of what unittest calls
        # the test. What the last test of a class leaves counts for the next class.
        new, self._class = type(test) is not self._class, type(test)
        where = f"{self._class.__module__}.{self._class.__qualname__}"
        self.answered(f"setUpClass ({where})" if new else test.id())
        super().startTest(test)

    def stopTest(self, test: Any) -> None:
        self.answered(test.id())
        super().stopTest(test)

    def answered(self, name: str) -> None:
        """Write down what was asked since this was last called."""
        taken = self.tally.take() if self.tally else {}
        if taken:
            record(asked=name, **taken)

    def addSuccess(self, test: Any) -> None:
        super().addSuccess(test)
        record(test=test.id(), outcome="passed")

    def addFailure(self, test: Any, err: Any) -> None:
        super().addFailure(test, err)
        record_failure(test, err)

    def addError(self, test: Any, err: Any) -> None:
        super().addError(test, err)
        self.answered(test.id())
        record_failure(test, err)

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:
        super().addSubTest(test, subtest, err)
        if err is not None:
            record_failure(test, err)

    def addSkip(self, test: Any, reason: str) -> None:
        super().addSkip(test, reason)
        record(test=test.id(), outcome="skipped", error=reason)

    def addExpectedFailure(self, test: Any, err: Any) -> None:
        super().addExpectedFailure(test, err)
        record(test=test.id(), outcome="skipped", error="Django expects it to fail")

    def addUnexpectedSuccess(self, test: Any) -> None:
        super().addUnexpectedSuccess(test)
        record(test=test.id(), outcome="failed", error="Django expects it to fail")


def record_failure(test: Any, err: Any) -> None:
    kind, error, trace = err
    said = str(error).strip().splitlines() or [""]
    record(
        test=test.id(),
        outcome="failed",
        error=f"{kind.__qualname__}: {said[0]}",
        traceback="".join(traceback.format_exception(kind, error, trace)),
    )


class RecordingRunner(DiscoverRunner):
    """Django's own runner, which also says beforehand what is going to run."""

    def get_resultclass(self) -> type[unittest.TextTestResult]:
        return RecordingResult

    def setup_databases(self, **kwargs: Any) -> Any:
        """Let what Django does around tests gather, where they must not."""
        if not is_sharded():
            return super().setup_databases(**kwargs)
        from shoal.sharding import allow

        for module in (flush, migrate, testcases):
            # Its receivers look for content types and permissions: after each flush.
            emit = allow("gather")(emit_post_migrate_signal)
            vars(module)["emit_post_migrate_signal"] = emit
        with allow("gather"):
            return super().setup_databases(**kwargs)

    def run_suite(self, suite: Any, **kwargs: Any) -> Any:
        record(planned=[test.id() for test in iter_test_cases(suite)])
        record(**denied())
        if is_sharded():
            # It imports models: only here, and only where Shoal is installed.
            from tests.django_suite import tally

            sharded = settings.SHOAL["CLUSTERS"]["default"]
            forbidden = sharded.get("GATHER") == "error"
            RecordingResult.tally = tally.begin(forbidden=forbidden)
        return super().run_suite(suite, **kwargs)


def is_sharded() -> bool:
    return "s0" in connections


def denied() -> dict[str, list[str]]:
    """
    Return what the sharded alias says it cannot, and its home shard can.

    Tests are skipped for that, which one database would pass: not in silence.
    """
    if not is_sharded():
        return {"features": [], "skips": []}
    alias, home = connections["default"].features, connections["s0"].features
    names = [name for name in dir(home) if not name.startswith("_")]
    features = [n for n in names if getattr(home, n) is True and not getattr(alias, n)]
    return {"features": features, "skips": sorted(skips(alias) - skips(home))}


def skips(features: Any) -> set[str]:
    """Return the tests that a backend wants skipped, or lets fail."""
    by_reason = features.django_test_skips.values()
    return set(features.django_test_expected_failures).union(*by_reason)
