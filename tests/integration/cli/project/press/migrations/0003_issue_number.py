import os

from django.db import migrations, models


def fail_where_told(apps, schema_editor):
    alias = schema_editor.connection.alias
    if alias in os.environ.get("FAIL_ON", "").split():
        with schema_editor.connection.cursor() as cursor:
            cursor.execute("SELECT missing_function()")


class Migration(migrations.Migration):
    dependencies = [("press", "0002_issue_of_each_book")]
    operations = [
        migrations.AddField("Issue", "number", models.IntegerField(default=1)),
        migrations.RunPython(fail_where_told, migrations.RunPython.noop),
    ]
