"""Which shard lacks what the others have."""

from django.db.migrations.operations import (
    CreateModel,
    RunPython,
    RunSQL,
    SeparateDatabaseAndState,
)

from shoal.evenness import applied, lacking
from shoal.evenness.data import without_data
from shoal.evenness.tables import differences

ONE, TWO = ("reviews", "0001"), ("reviews", "0002")


def test_shards_that_are_even_lack_nothing() -> None:
    assert lacking({"a": frozenset({ONE}), "b": frozenset({ONE})}) == {}
    assert lacking({"a": frozenset(), "b": frozenset()}) == {}
    # Nobody has begun.
    assert lacking({"a": None, "b": None}) == {}
    assert applied({"a": None, "b": None}) == frozenset()


def test_each_shard_lacks_what_any_other_has() -> None:
    found = {"a": frozenset({ONE}), "b": frozenset({TWO}), "c": frozenset({ONE, TWO})}
    assert applied(found) == {ONE, TWO}
    assert lacking(found) == {"a": {TWO}, "b": {ONE}}
    assert lacking({"a": None, "b": frozenset({ONE})}) == {"a": {ONE}}
    # It lacks no more than the table.
    assert lacking({"a": None, "b": frozenset()}) == {"a": frozenset()}


def test_tables_and_columns_that_differ() -> None:
    found = {
        "a": {"book": frozenset({"id", "title"}), "own": frozenset({"id"})},
        "b": {"book": frozenset({"id"}), "page": frozenset({"id"})},
    }
    assert differences(found, {"book", "page", "nowhere"}) == {
        "a": ["page"],
        "b": ["book.title"],
    }
    assert differences({"a": found["a"], "b": found["a"]}, {"book", "own"}) == {}


def test_what_changes_rows_is_left_out() -> None:
    make, code = CreateModel("Book", []), RunPython(RunPython.noop)
    sql = RunSQL("CREATE FUNCTION ...")
    both = SeparateDatabaseAndState([code, sql], [make])
    left = without_data([make, code, both])
    assert left[0] is make
    (inner,) = left[1:]
    assert (inner.database_operations, inner.state_operations) == ([sql], [make])
    assert both.database_operations == [code, sql]
