"""The classes of a sharded alias are where they say they are."""

import importlib

from shoal.backends.sharded.base import class_over


def test_each_is_found_by_its_own_name() -> None:
    made = class_over("django.db.backends.sqlite3")
    parts = [made.features_class, made.ops_class, made.SchemaEditorClass]
    for one in parts:
        module = importlib.import_module(one.__module__)
        assert getattr(module, one.__name__) is one
