"""
Sends Django's `pre_migrate` and `post_migrate` for one alias, as its command does.

They create content types and permissions, among other things.
"""

from importlib import import_module
from typing import Any, TextIO

from django.apps import apps
from django.core.management.sql import emit_post_migrate_signal, emit_pre_migrate_signal
from django.db.migrations.state import ModelState, ProjectState, StateApps
from django.utils.module_loading import module_has_submodule

from shoal.cli.migrate.worker import Worker


def import_handlers() -> None:
    """Import what registers handlers: the `management` module of each app."""
    for config in apps.get_app_configs():
        if config.module is not None and module_has_submodule(
            config.module, "management"
        ):
            import_module(".management", config.name)


def before(worker: Worker, **how: Any) -> None:
    """Tell that this alias is about to be migrated. May change the worker's plan."""
    if worker.before is not None:
        _emit(emit_pre_migrate_signal, worker, worker.before.apps, **how)


def after(worker: Worker, **how: Any) -> None:
    if worker.after is not None:
        _emit(emit_post_migrate_signal, worker, _rendered(worker.after), **how)


def _emit(
    emit: Any,
    worker: Worker,
    state: StateApps,
    *,
    verbosity: int,
    interactive: bool,
    stdout: TextIO,
) -> None:
    emit(
        verbosity,
        interactive,
        worker.alias,
        stdout=stdout,
        apps=state,
        plan=worker.plan,
    )


def _rendered(state: ProjectState) -> StateApps:
    """Render what apps without migrations need of the others, which came later."""
    state.clear_delayed_apps_cache()
    found: StateApps = state.apps
    with found.bulk_update():
        keys = [(model.app_label, model.name_lower) for model in found.real_models]
        for key in keys:
            found.unregister_model(*key)
    found.render_multiple([ModelState.from_model(apps.get_model(*key)) for key in keys])
    return found
