from django.db import models


class CustomerInformation(models.Model):
    """Lives in `user`: SHOAL says so, the model need not."""

    name = models.CharField(max_length=100)
    email = models.EmailField(unique=True)

    class Meta:
        verbose_name_plural = "customer information"

    def __str__(self):
        return self.name


class CustomerSupport(models.Model):
    """Lives in `admin`."""

    email = models.EmailField(db_index=True)
    question = models.TextField()
    answered = models.BooleanField(default=False)

    class Meta:
        verbose_name_plural = "customer support"

    def __str__(self):
        return self.question
