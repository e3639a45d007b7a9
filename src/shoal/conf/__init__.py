"""
Takes `settings.SHOAL` and `settings.DATABASES`, gives a frozen, checked `Conf`.

Values computed from the setting are kept `until_settings_change`, so that
`override_settings` works.
"""

from shoal.conf.parser import DUMMY_ENGINE, is_configured, parse
from shoal.conf.reading import (
    get_conf,
    on_settings_change,
    read_settings,
    until_settings_change,
)
from shoal.conf.sharding import SHARDED_ENGINE
from shoal.conf.values import ClusterConf, Conf, Problem, ReplicaConf

__all__ = [
    "DUMMY_ENGINE",
    "SHARDED_ENGINE",
    "ClusterConf",
    "Conf",
    "Problem",
    "ReplicaConf",
    "get_conf",
    "is_configured",
    "on_settings_change",
    "parse",
    "read_settings",
    "until_settings_change",
]
