from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("stock", "0002_rows")]
    operations = [
        migrations.AddField("Review", "stars", models.IntegerField(default=3)),
    ]
