"""What a database would do with ON DELETE CASCADE, if all were on one server."""

from django.conf import settings
from django.db.models.signals import post_delete
from django.dispatch import receiver

from reviews.models import Review


@receiver(post_delete, sender="products.Product")
def forget_reviews_of_product(instance, **kwargs):
    Review.objects.filter(product_id=instance.pk).delete()


@receiver(post_delete, sender=settings.AUTH_USER_MODEL)
def forget_reviews_by_author(instance, **kwargs):
    Review.objects.filter(author_id=instance.pk).delete()
