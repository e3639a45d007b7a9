from django.db.models import F

from shoal.transactions import atomic
from shop.models import Order, Stock


def order(article, number):
    """Order, and take it from the stock: both, or neither."""
    with atomic("default", "stock"):
        Order.objects.create(article=article, number=number)
        Stock.objects.filter(article=article).update(left=F("left") - number)
