import os
import time
from pathlib import Path

from django.db import migrations


def two_books(apps, schema_editor):
    """Add rows where `using` is not said, and wait for the test if it says so."""
    book = apps.get_model("library", "Book")
    for title in ("Walden", "Emma"):
        book.objects.create(title=title)
    assert book.objects.count() == 2
    if "HOLD" in os.environ:
        hold(Path(os.environ["HOLD"]))


def hold(gate):
    gate.with_suffix(".reached").touch()
    until = time.monotonic() + 120
    while not gate.exists() and time.monotonic() < until:
        time.sleep(0.02)


def no_books(apps, schema_editor):
    apps.get_model("library", "Book").objects.all().delete()


class Migration(migrations.Migration):
    dependencies = [("library", "0001_initial")]
    operations = [
        migrations.RunPython(two_books, no_books, hints={"model_name": "book"}),
    ]
