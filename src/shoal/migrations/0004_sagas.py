from importlib import import_module

from django.db import migrations, models

import shoal.models

CreateMissing = import_module("shoal.migrations.0001_initial").CreateMissing
TABLES = ("SagaRow", "SagaStepRow", "SagaMarkRow")


class Migration(migrations.Migration):
    dependencies = [("shoal", "0003_outbox")]

    operations = [
        CreateMissing(
            name="SagaRow",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("saga", shoal.models.ExactText(max_length=100)),
                ("key", shoal.models.ExactText(max_length=255)),
                ("token", shoal.models.ExactText(max_length=32)),
                ("state", shoal.models.ExactText(max_length=20)),
                ("due", models.FloatField(null=True)),
                ("turn", models.BigIntegerField()),
                ("data", models.TextField()),
                ("error", models.TextField()),
                ("begun", models.FloatField()),
                ("changed", models.FloatField()),
            ],
            options={
                "db_table": "shoal_saga",
                "default_permissions": (),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("saga", "key"), name="shoal_saga_once"
                    )
                ],
                "indexes": [
                    models.Index(fields=["state", "due"], name="shoal_saga_due")
                ],
            },
        ),
        CreateMissing(
            name="SagaStepRow",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("run", models.BigIntegerField()),
                ("position", models.IntegerField()),
                ("name", shoal.models.ExactText(max_length=100)),
                ("state", shoal.models.ExactText(max_length=20)),
                ("attempt", models.BigIntegerField()),
                ("ended", models.BigIntegerField()),
                ("failures", models.BigIntegerField()),
                ("has_compensation", models.SmallIntegerField()),
                ("result", models.TextField()),
                ("error", models.TextField()),
                ("changed", models.FloatField()),
            ],
            options={
                "db_table": "shoal_saga_step",
                "default_permissions": (),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("run", "name"), name="shoal_step_once"
                    )
                ],
            },
        ),
        CreateMissing(
            name="SagaMarkRow",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("mark", shoal.models.ExactText(max_length=255)),
                ("result", models.TextField()),
                ("at", models.FloatField()),
            ],
            options={
                "db_table": "shoal_saga_mark",
                "default_permissions": (),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("mark",), name="shoal_saga_mark_once"
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
