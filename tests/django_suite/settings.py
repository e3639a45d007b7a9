"""Settings for Django's runtests.py: `default` is a sharded alias over four shards.

What differs from run to run comes from the environment, as the JSON of a `Site`.
Everything else is taken from the settings that Django's tests bring along.
"""

import sys

from test_sqlite import *  # type: ignore[import-not-found]  # noqa: F403

from tests.django_suite.site import Site

SITE = Site.of_environment()

DATABASES = SITE.databases
if not SITE.plain:
    sharded = {
        "SHARDS": ["s0", "s1", "s2", "s3"],
        "IDS": "plain",
        "GATHER": SITE.gather,
    }
    SHOAL = {"CLUSTERS": {"default": sharded}, "CONTROL": "s0"}
    # runtests.py puts a list of its own in the place of INSTALLED_APPS, right after it
    # has read this file. What shall be installed has to be on that list.
    sys.modules["__main__"].ALWAYS_INSTALLED_APPS.append("shoal")

TEST_RUNNER = "tests.django_suite.recording.RecordingRunner"
