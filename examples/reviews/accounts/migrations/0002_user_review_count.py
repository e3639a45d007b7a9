from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0001_initial"),
    ]

    operations = [
        migrations.AddField(
            model_name="user",
            name="review_count",
            field=models.PositiveIntegerField(
                default=0,
                editable=False,
                help_text="Written together with each review: see reviews/writing.py.",
                verbose_name="reviews",
            ),
        ),
    ]
