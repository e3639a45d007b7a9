"""What needs no server: the order of tables, what is a difference, the report."""

import datetime
from decimal import Decimal

import pytest
from django.db import models
from django.test.utils import isolate_apps

from shoal.publishing import PublishReport
from shoal.publishing.difference import certainly_the_same
from shoal.publishing.include import tree_of
from shoal.publishing.tables import Reference, Table, in_order


def tables(**references):
    """Make tables by name, with the names of those that each refers to."""
    with isolate_apps("tests"):
        made = {
            name: type(
                name,
                (models.Model,),
                {
                    "__module__": __name__,
                    "Meta": type("Meta", (), {"app_label": "tests"}),
                },
            )
            for name in references
        }
    return [
        Table(
            model=made[name],
            fields=(),
            key_positions=(),
            references=tuple(
                Reference(position=0, field=None, target=made[end]) for end in ends
            ),
        )
        for name, ends in references.items()
    ]


@pytest.mark.parametrize(
    ("references", "order", "rings"),
    [
        ({"a": "b", "b": "c", "c": ""}, "cba", ""),
        ({"a": "", "b": "", "c": "a"}, "abc", ""),
        ({"a": "a", "b": "a"}, "ab", "a"),
        ({"a": "b", "b": "a", "c": "a"}, "abc", "ab"),
        ({"a": "b", "b": "c", "c": "bd", "d": ""}, "dbac", "bc"),
        ({}, "", ""),
    ],
)
def test_tables_come_after_those_they_refer_to(references, order, rings):
    ordered, in_rings = in_order(tables(**references))
    assert "".join(table.model.__name__ for table in ordered) == order
    assert {model.__name__ for model in in_rings} == set(rings)


class Lenient:
    def __eq__(self, other):
        return True

    __hash__ = None


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (1, 1, True),
        (1, True, False),
        (1, 1.0, False),
        (None, None, True),
        (None, 0, False),
        ("a", "a", True),
        ("a", "A", False),
        (Decimal("1.0"), Decimal("1.0"), True),
        (Decimal("1.0"), Decimal("1.00"), False),
        (memoryview(b"a"), memoryview(b"a"), True),
        (memoryview(b"a"), memoryview(b"b"), False),
        ([1, [2]], [1, [2]], True),
        ([1], [True], False),
        ([1], [1, 2], False),
        (float("nan"), float("nan"), False),
        (datetime.date(2020, 1, 1), datetime.date(2020, 1, 1), True),
        (Lenient(), Lenient(), False),
    ],
)
def test_what_is_certainly_the_same(one, other, same):
    assert certainly_the_same(one, other) is same


def test_names_make_a_tree():
    assert tree_of(["a__b", "a", "c", "a__d__e"]) == {
        "a": {"b": {}, "d": {"e": {}}},
        "c": {},
    }


def test_report_in_words():
    report = PublishReport(
        cluster="pages",
        source="draft",
        to="public",
        created={"pages.Page": 3, "pages.Section": 1},
        updated={"pages.Page": 1},
        removed={"pages.Topic": 2},
        unchanged={"pages.Tag": 9},
    )
    assert str(report) == (
        "Published from 'draft' to 'public': pages.Page 3 created, 1 updated; "
        "pages.Section 1 created; pages.Topic 2 removed."
    )
