from django.db import migrations, models


def pk():
    return ("id", models.BigAutoField(primary_key=True, serialize=False))


def link(to, **options):
    return models.ForeignKey(to, models.CASCADE, **options)


class Migration(migrations.Migration):
    initial = True
    dependencies = []
    operations = [
        migrations.CreateModel(
            "Product", [pk(), ("name", models.CharField(max_length=100))]
        ),
        migrations.CreateModel(
            "Reader", [pk(), ("name", models.CharField(max_length=100))]
        ),
        migrations.CreateModel(
            "Review",
            [
                pk(),
                ("reader", link("stock.reader")),
                ("product", link("stock.product")),
                ("better_than", link("stock.review", null=True)),
                ("liked_by", models.ManyToManyField("stock.Reader", related_name="+")),
            ],
        ),
        migrations.CreateModel("Shelf", [pk(), ("review", link("stock.review"))]),
    ]
