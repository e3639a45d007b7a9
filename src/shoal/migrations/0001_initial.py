from contextlib import nullcontext
from typing import Any

from django.db import migrations, models

import shoal.models


class CreateMissing(migrations.CreateModel):
    """The tables may be there already: what asks for them first may make them."""

    def database_forwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        table = to_state.apps.get_model(app_label, self.name)._meta.db_table
        every = [schema_editor.connection]
        if hasattr(schema_editor, "on_shards"):
            every = list(schema_editor.connection.shard_connections())
        lacking = [
            connection.alias
            for connection in every
            if schema_editor.collect_sql
            or table not in connection.introspection.table_names()
        ]
        if not lacking:
            return
        is_part = len(lacking) < len(every)
        with schema_editor.on_shards(lacking) if is_part else nullcontext():
            super().database_forwards(app_label, schema_editor, from_state, to_state)


TABLES = ("ClusterRow", "RangeRow", "SequenceRow", "DirectoryRow")


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        CreateMissing(
            name="ClusterRow",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("cluster", shoal.models.ExactText(max_length=255)),
                ("version", models.BigIntegerField()),
            ],
            options={
                "db_table": "shoal_cluster",
                "default_permissions": (),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("cluster",), name="shoal_cluster_once"
                    )
                ],
            },
        ),
        CreateMissing(
            name="RangeRow",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("cluster", shoal.models.ExactText(max_length=255)),
                ("first", models.IntegerField()),
                ("last", models.IntegerField()),
                ("shard", shoal.models.ExactText(max_length=255)),
            ],
            options={
                "db_table": "shoal_range",
                "default_permissions": (),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("cluster", "first"), name="shoal_range_once"
                    )
                ],
            },
        ),
        CreateMissing(
            name="SequenceRow",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("cluster", shoal.models.ExactText(max_length=255)),
                ("table", shoal.models.ExactText(max_length=255)),
                ("next", models.BigIntegerField()),
            ],
            options={
                "db_table": "shoal_sequence",
                "default_permissions": (),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("cluster", "table"), name="shoal_sequence_once"
                    )
                ],
            },
        ),
        CreateMissing(
            name="DirectoryRow",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("cluster", shoal.models.ExactText(max_length=255)),
                ("key", shoal.models.ExactText(max_length=255)),
                ("bucket", models.IntegerField()),
            ],
            options={
                "db_table": "shoal_directory",
                "default_permissions": (),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("cluster", "key"), name="shoal_directory_once"
                    )
                ],
            },
        ),
        # From here on nobody flushes or serializes them with the project's rows.
        *(
            migrations.AlterModelOptions(
                name, {"managed": False, "default_permissions": ()}
            )
            for name in TABLES
        ),
    ]
