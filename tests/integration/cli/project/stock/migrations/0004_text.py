from django.db import migrations, models


def describe(apps, schema_editor):
    """Change the rows that are there, each once."""
    reviews = apps.get_model("stock", "Review").objects
    for review in reviews.all():
        review.text += f"{review.stars} stars"
        review.save()


class Migration(migrations.Migration):
    dependencies = [("stock", "0003_stars")]
    operations = [
        migrations.AddField(
            "Review", "text", models.CharField(max_length=100, default="")
        ),
        migrations.AlterField(
            "Review",
            "better_than",
            models.ForeignKey("stock.review", models.SET_NULL, null=True),
        ),
        migrations.RunPython(describe, migrations.RunPython.noop),
    ]
