import os

from django.db import migrations


def add_rows(apps, schema_editor):
    """Add rows where `using` is not said, and tell the test which alias it is on."""
    if "ALIASES" in os.environ:
        with open(os.environ["ALIASES"], "a") as file:
            file.write(f"{schema_editor.connection.alias}\n")
    product = apps.get_model("stock", "Product").objects.create(name="Chair")
    readers = apps.get_model("stock", "Reader").objects
    reviews = apps.get_model("stock", "Review").objects
    for number in range(16):
        # In buckets that are far from each other.
        pk = (number + 1) * 4096 + number * 256
        reader = readers.create(pk=pk, name=f"reader {number}")
        reviews.create(reader=reader, product=product)


class Migration(migrations.Migration):
    dependencies = [("stock", "0001_initial")]
    operations = [migrations.RunPython(add_rows, migrations.RunPython.noop)]
