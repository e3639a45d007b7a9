"""Takes nothing, gives the app of what can be reviewed."""

from django.apps import AppConfig


class ProductsConfig(AppConfig):
    name = "products"
