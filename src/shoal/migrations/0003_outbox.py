from importlib import import_module

from django.db import migrations, models

import shoal.models

CreateMissing = import_module("shoal.migrations.0001_initial").CreateMissing
TABLES = ("MessageRow", "ReceivedRow")


class Migration(migrations.Migration):
    dependencies = [("shoal", "0002_decisions")]

    operations = [
        CreateMissing(
            name="MessageRow",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("message", shoal.models.ExactText(max_length=32)),
                ("topic", shoal.models.ExactText(max_length=255)),
                ("key", shoal.models.ExactText(max_length=255, null=True)),
                ("body", models.TextField()),
                ("attempts", models.IntegerField()),
                ("due", models.FloatField()),
                ("sent", models.FloatField()),
                ("done", models.TextField()),
                ("dead", models.FloatField(null=True)),
                ("error", models.TextField(null=True)),
            ],
            options={
                "db_table": "shoal_message",
                "default_permissions": (),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("message",), name="shoal_message_once"
                    ),
                    models.UniqueConstraint(
                        fields=("key", "id"), name="shoal_message_order"
                    ),
                ],
            },
        ),
        CreateMissing(
            name="ReceivedRow",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("message", shoal.models.ExactText(max_length=32)),
                ("receiver", shoal.models.ExactText(max_length=255)),
                ("source", shoal.models.ExactText(max_length=8)),
                ("at", models.FloatField()),
            ],
            options={
                "db_table": "shoal_received",
                "default_permissions": (),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("message", "receiver"), name="shoal_received_once"
                    ),
                    models.UniqueConstraint(
                        fields=("source", "at", "id"), name="shoal_received_age"
                    ),
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
