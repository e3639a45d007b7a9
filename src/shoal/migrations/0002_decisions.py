from importlib import import_module

from django.db import migrations, models

import shoal.models

CreateMissing = import_module("shoal.migrations.0001_initial").CreateMissing
TABLES = ("IdentityRow", "DecisionRow")


class Migration(migrations.Migration):
    dependencies = [("shoal", "0001_initial")]

    operations = [
        CreateMissing(
            name="IdentityRow",
            fields=[
                (
                    "id",
                    models.SmallIntegerField(primary_key=True, serialize=False),
                ),
                ("identity", shoal.models.ExactText(max_length=8)),
            ],
            options={"db_table": "shoal_identity", "default_permissions": ()},
        ),
        CreateMissing(
            name="DecisionRow",
            fields=[
                (
                    "unit",
                    shoal.models.ExactText(
                        max_length=32, primary_key=True, serialize=False
                    ),
                ),
                ("servers", models.TextField()),
                ("at", models.DateTimeField()),
            ],
            options={"db_table": "shoal_decision", "default_permissions": ()},
        ),
        # From here on nobody flushes or serializes them with the project's rows.
        *(
            migrations.AlterModelOptions(
                name, {"managed": False, "default_permissions": ()}
            )
            for name in TABLES
        ),
    ]
