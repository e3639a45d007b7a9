from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    dependencies = [("library", "0001_initial")]
    operations = [
        migrations.CreateModel(
            name="Issue",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True,
                        primary_key=True,
                        serialize=False,
                        verbose_name="ID",
                    ),
                ),
                (
                    "book",
                    models.ForeignKey(
                        "library.book", models.DO_NOTHING, db_constraint=False
                    ),
                ),
            ],
        ),
    ]
