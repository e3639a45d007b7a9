"""
Takes what a model says about where its rows lie, keeps it on its class.

Used in `models.py`, so nothing here may ask the app registry before it is ready.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, overload

from django.apps import apps
from django.db.models import Model
from django.utils.module_loading import import_string

from shoal.errors import DeclarationError
from shoal.placement.strategies import Custom, Strategy

ModelClass = TypeVar("ModelClass", bound=type[Model])
_ATTRIBUTE = "_shoal_declaration"


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """What `@sharded` or `@reference` says of a model."""

    kind: Literal["sharded", "reference"]
    key: tuple[str, ...] = ()
    """Names of fields; the primary key if there is none."""
    by: Strategy | str | None = None
    """A strategy, or the dotted path of a function."""

    def strategy(self) -> Strategy | None:
        """Return the strategy; raise `DeclarationError` if its path leads nowhere."""
        if not isinstance(self.by, str):
            return self.by
        try:
            function = import_string(self.by)
        except ImportError as error:
            raise DeclarationError(
                f"by={self.by!r} cannot be imported: {error}.",
                hint="Give the dotted path of a function key -> bucket.",
            ) from error
        return _strategy_of(function)  # type: ignore[return-value]


@overload
def sharded(model: ModelClass) -> ModelClass: ...
@overload
def sharded(
    *, key: str | Sequence[str] | None = ..., by: Any = ...
) -> Callable[[ModelClass], ModelClass]: ...
def sharded(
    model: Any = None, *, key: str | Sequence[str] | None = None, by: Any = None
) -> Any:
    """
    Declare that the rows of the model lie on the shards by `key`.

    The key is a field of the model, or several; by default its primary key. `by` says
    how a key gives its bucket: `modulo(n)`, `ranges(...)`, `directory()`, a function
    `key -> bucket` or its dotted path. By default a hash does, and a foreign key
    follows the model that it points to.
    """
    declaration = Declaration(kind="sharded", key=_names(key), by=_strategy_of(by))
    if model is not None:
        return _declare(model, declaration, "@sharded")
    return lambda model: _declare(model, declaration, "@sharded")


def reference(model: ModelClass) -> ModelClass:
    """Declare that every row of the model is on every shard."""
    declared: ModelClass = _declare(model, Declaration(kind="reference"), "@reference")
    return declared


def declaration_of(model: Any) -> Declaration | None:
    """
    Return what `model` declares, itself or by an abstract base.

    A model of the migrations' history has only the names of the real one, which is
    asked in its place.
    """
    found = _own(model)
    if found is None:
        meta = model._meta
        registered = apps.all_models.get(meta.app_label, {}).get(meta.model_name)
        found = _own(registered) if registered is not None else None
    return found


def _own(model: Any) -> Declaration | None:
    for base in getattr(model, "__mro__", ()):
        if base is model or getattr(getattr(base, "_meta", None), "abstract", False):
            found = vars(base).get(_ATTRIBUTE)
            if found is not None:
                return found  # type: ignore[no-any-return]
    return None


def _declare(model: Any, declaration: Declaration, what: str) -> Any:
    if not (isinstance(model, type) and issubclass(model, Model)):
        raise DeclarationError(
            f"{what} was given {model!r}, which is not a model class.",
            hint="Put it above a class of models.py: "
            '@reference, or @sharded(key="product").',
        )
    meta = model._meta
    if _ATTRIBUTE in vars(model):
        raise DeclarationError(
            f"{meta.label} is declared twice.",
            hint="Keep one of @sharded and @reference, and that once.",
        )
    if meta.proxy:
        raise DeclarationError(
            f"{meta.label} is a proxy and has no rows of its own.",
            hint=f"Put {what} on {_label(meta.concrete_model)}.",
        )
    if meta.parents:
        raise DeclarationError(
            f"{meta.label} is a multi-table child, whose rows lie with its parent's.",
            hint=f"Put {what} on {_label(next(iter(meta.parents)))}.",
        )
    setattr(model, _ATTRIBUTE, declaration)
    return model


def _label(model: Any) -> str:
    return str(model._meta.label)


def _names(key: object) -> tuple[str, ...]:
    names = (key,) if isinstance(key, str) else key
    if names is None:
        return ()
    if (
        not isinstance(names, list | tuple)
        or not names
        or not all(isinstance(name, str) and name for name in names)
        or len(set(names)) != len(names)
    ):
        raise DeclarationError(
            f"@sharded was given key={key!r}, which is not the name of a field.",
            hint='Write key="product", or key=("tenant", "number") for several.',
        )
    return tuple(names)


def _strategy_of(by: Any) -> Strategy | str | None:
    if by is None or isinstance(by, Strategy):
        return by
    if isinstance(by, str) and "." in by:
        return by
    if callable(by) and not isinstance(by, type) and not _is_maker(by):
        return Custom(by)
    raise DeclarationError(
        f"@sharded was given by={by!r}, which is not a strategy.",
        hint="Give modulo(4), ranges(1000, 2000), directory(), "
        "a function key -> bucket or its dotted path.",
    )


def _is_maker(by: Any) -> bool:
    """Say whether somebody wrote `by=directory` for `by=directory()`."""
    return getattr(by, "__module__", "") == Strategy.__module__
