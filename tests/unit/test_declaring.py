"""`@sharded` and `@reference`: what they keep, and what they refuse at once."""

import subprocess
import sys
from typing import Any

import pytest
from django.apps import apps
from django.test.utils import isolate_apps
from tests.unit.declared import made

from shoal.errors import DeclarationError
from shoal.placement import directory, modulo, ranges, reference, sharded
from shoal.placement.declaring import Declaration, declaration_of
from shoal.placement.strategies import Custom, Directory, Modulo, Ranges


@pytest.fixture(autouse=True)
def isolated() -> Any:
    with isolate_apps("tests.project.feedback"):
        yield


def refused(call: Any) -> str:
    with pytest.raises(DeclarationError) as caught:
        call()
    return str(caught.value)


def bucket_of_anything(key: Any) -> int:
    return 7


def test_keeps_what_is_said() -> None:
    model = made("Review")
    assert sharded(key="product", by=modulo(4))(model) is model
    assert declaration_of(model) == Declaration(
        kind="sharded", key=("product",), by=Modulo(4)
    )
    assert declaration_of(reference(made("Product"))) == Declaration(kind="reference")


@pytest.mark.parametrize(
    ("key", "names"),
    [
        (None, ()),
        ("a", ("a",)),
        (["a", "b"], ("a", "b")),
        (("a",), ("a",)),
    ],
)
def test_a_key_is_one_field_or_several(key: Any, names: tuple[str, ...]) -> None:
    declaration = declaration_of(sharded(key=key)(made("Review")))
    assert declaration is not None
    assert declaration.key == names


def test_needs_no_brackets() -> None:
    assert declaration_of(sharded(made("Review"))) == Declaration(kind="sharded")


@pytest.mark.parametrize(
    ("by", "strategy"),
    [
        (None, None),
        (modulo(3), Modulo(3)),
        (ranges(1, 10), Ranges((1, 10))),
        (directory(), Directory()),
        (bucket_of_anything, Custom(bucket_of_anything)),
        ("math.floor", Custom(__import__("math").floor)),
    ],
)
def test_a_strategy_is_a_value_a_function_or_its_path(by: Any, strategy: Any) -> None:
    declaration = declaration_of(sharded(by=by)(made("Review")))
    assert declaration is not None
    assert declaration.strategy() == strategy


def test_a_path_that_leads_nowhere_is_said_when_it_is_needed() -> None:
    declaration = declaration_of(sharded(by="shop.nowhere.bucket")(made("Review")))
    assert declaration is not None
    assert refused(declaration.strategy) == (
        "by='shop.nowhere.bucket' cannot be imported: No module named 'shop'.\n"
        "Hint: Give the dotted path of a function key -> bucket."
    )


def test_an_abstract_model_declares_for_its_children() -> None:
    abstract = reference(made("Base", meta={"abstract": True}))
    child = made("Child", abstract)
    assert declaration_of(child) == Declaration(kind="reference")
    sharded(key="id")(own := made("Own", abstract))
    assert declaration_of(own) == Declaration(kind="sharded", key=("id",))


def test_a_concrete_parent_does_not() -> None:
    parent = reference(made("Parent"))
    assert declaration_of(made("Child", parent)) is None


def test_a_model_of_the_history_has_what_the_real_one_declares(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with isolate_apps("tests.project.feedback"):
        real = sharded(key="product")(made("Gadget"))
    monkeypatch.setitem(apps.all_models["feedback"], "gadget", real)
    assert declaration_of(made("Gadget")) == declaration_of(real)
    assert declaration_of(made("Other")) is None


@pytest.mark.parametrize("value", [None, object, "feedback.Review", print])
def test_only_a_model_can_be_declared(value: Any) -> None:
    message = f"was given {value!r}, which is not a model class.\nHint: Put it above"
    assert f"@reference {message}" in refused(lambda: reference(value))
    assert f"@sharded {message}" in refused(lambda: sharded()(value))


def test_a_model_is_declared_once() -> None:
    message = (
        "feedback.Review is declared twice.\n"
        "Hint: Keep one of @sharded and @reference, and that once."
    )
    assert refused(lambda: reference(sharded(made("Review")))) == message
    message = message.replace("Review", "Vote")
    assert refused(lambda: sharded(reference(made("Vote")))) == message


def test_a_proxy_and_a_multi_table_child_have_no_say() -> None:
    parent = made("Parent")
    child = made("Child", parent)
    proxy = made("Proxy", parent, meta={"proxy": True})
    assert refused(lambda: reference(proxy)) == (
        "feedback.Proxy is a proxy and has no rows of its own.\n"
        "Hint: Put @reference on feedback.Parent."
    )
    assert refused(lambda: sharded(key="x")(child)) == (
        "feedback.Child is a multi-table child, whose rows lie with its parent's.\n"
        "Hint: Put @sharded on feedback.Parent."
    )


@pytest.mark.parametrize("key", [5, "", [], [""], ("a", 5), ("a", "a"), {"a"}])
def test_a_key_is_a_name(key: Any) -> None:
    assert refused(lambda: sharded(key=key)) == (
        f"@sharded was given key={key!r}, which is not the name of a field.\n"
        'Hint: Write key="product", or key=("tenant", "number") for several.'
    )


@pytest.mark.parametrize("by", [4, "modulo", directory, modulo, int, ["a.b"]])
def test_by_is_a_strategy(by: Any) -> None:
    assert refused(lambda: sharded(by=by)) == (
        f"@sharded was given by={by!r}, which is not a strategy.\n"
        "Hint: Give modulo(4), ranges(1000, 2000), directory(), "
        "a function key -> bucket or its dotted path."
    )


@pytest.mark.parametrize("n", [0, -1, 4097, 2.0, "4", True])
def test_modulo_has_a_number_of_slices(n: Any) -> None:
    assert refused(lambda: modulo(n)) == (
        f"modulo({n!r}) does not say how many slices there are.\n"
        "Hint: Give a number from 1 to 4096, as in modulo(4)."
    )


@pytest.mark.parametrize("bounds", [(), (1, "a"), (1.5,), (None,), (True,)])
def test_ranges_have_bounds_of_one_type(bounds: Any) -> None:
    assert refused(lambda: ranges(*bounds)) == (
        f"ranges{bounds!r} has no bounds of one type.\n"
        "Hint: Give whole numbers, texts or UUIDs, as in ranges(1000, 2000)."
    )


@pytest.mark.parametrize("bounds", [(2, 1), (1, 1), tuple(range(4096))])
def test_ranges_have_bounds_that_grow(bounds: Any) -> None:
    assert refused(lambda: ranges(*bounds)) == (
        f"ranges{bounds!r} has bounds that do not grow, or 4096 or more.\n"
        "Hint: Each bound is the first key of its range; sort them."
    )


def test_can_be_used_before_the_apps_are_ready() -> None:
    code = (
        "from django.conf import settings; settings.configure();"
        "from shoal.placement import reference, sharded"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
