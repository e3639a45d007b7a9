"""
Takes the setting, the topology and the models, gives Django's check messages.

Ids are stable. Each has a heading in the reference of the checks. The checks that ask
a server run only where Django names databases: `manage.py check --database default`,
`migrate` and `manage.py shoal check`.
"""

from shoal.checks.relations import check_relations
from shoal.checks.setting import check_setting
from shoal.checks.sharded import check_sharded_models

__all__ = ["check_relations", "check_setting", "check_sharded_models"]
