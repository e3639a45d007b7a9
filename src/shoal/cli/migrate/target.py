"""Takes what was typed, gives the migrations to reach, as Django's command does."""

from dataclasses import dataclass

from django.apps import apps
from django.db.migrations.loader import AmbiguityError, MigrationLoader

from shoal.errors import MigrateError, did_you_mean
from shoal.evenness import Key


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where to go: everything, one app, or one migration of it."""

    app_label: str | None = None
    migration: str | None = None
    """The beginning of a name, or `zero`."""

    def check(self, disk: MigrationLoader) -> None:
        """Raise `MigrateError` for an app or a migration that there is not."""
        app = self.app_label
        if app is None:
            return
        if app not in apps.app_configs:
            raise MigrateError(
                f"No installed app has the label {app!r}.",
                hint=did_you_mean(app, sorted(disk.migrated_apps)),
            )
        if app not in disk.migrated_apps:
            raise MigrateError(
                f"The app {app!r} has no migrations.",
                hint=f"Make them: `manage.py makemigrations {app}`.",
            )
        self.keys(disk)

    def keys(self, loader: MigrationLoader) -> list[tuple[str, str | None]]:
        """Return the targets in the words of Django's executor."""
        leaves = loader.graph.leaf_nodes(self.app_label)
        if self.app_label is None or self.migration is None:
            return [(app, name) for app, name in leaves]
        if self.migration == "zero":
            return [(self.app_label, None)]
        key = self._found(loader, self.app_label, self.migration)
        if key not in loader.graph.nodes and key in loader.replacements:
            # Squashed, and applied in part: its last part stands for it.
            key = loader.replacements[key].replaces[-1]
        return [key]

    def backwards_order(self, loader: MigrationLoader) -> list[Key]:
        """Return whatever the target may take back, each before what it depends on."""
        order: dict[Key, None] = {}
        for app, name in self.keys(loader) if self.migration is not None else ():
            if name is None:
                nodes = loader.graph.root_nodes(app)
            elif (app, name) in loader.graph.nodes:
                children = loader.graph.node_map[app, name].children
                nodes = sorted(node.key for node in children if node.key[0] == app)
            else:
                nodes = []
            for node in nodes:
                order.update(dict.fromkeys(loader.graph.backwards_plan(node)))
        return list(order)

    def _found(self, loader: MigrationLoader, app: str, prefix: str) -> Key:
        names = sorted(name for label, name in loader.disk_migrations if label == app)
        try:
            migration = loader.get_migration_by_prefix(app, prefix)
        except AmbiguityError as error:
            matching = [name for name in names if name.startswith(prefix)]
            raise MigrateError(
                f"More than one migration of {app!r} begins with {prefix!r}.",
                hint=f"Name one of: {', '.join(matching)}.",
            ) from error
        except KeyError as error:
            raise MigrateError(
                f"No migration of {app!r} begins with {prefix!r}.",
                hint=did_you_mean(prefix, [*names, "zero"]),
            ) from error
        return app, migration.name
