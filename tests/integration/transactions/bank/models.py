from django.db import models

from shoal.placement import sharded


class Model(models.Model):
    class Meta:
        abstract = True
        app_label = "bank"

    def __str__(self) -> str:
        return f"{self._meta.model_name} {self.pk}"


class Amount(Model):
    amount = models.IntegerField()

    class Meta(Model.Meta):
        abstract = True


class Side(Model):
    """One side of a transfer, with the account whose amount it changes."""

    id = models.CharField(max_length=60, primary_key=True)
    transfer = models.CharField(max_length=40)
    amount = models.IntegerField()
    sides = models.IntegerField()

    class Meta(Model.Meta):
        abstract = True


@sharded
class Account(Amount):
    pass


@sharded(key="account")
class Entry(Side):
    account = models.ForeignKey(Account, models.CASCADE)


class CashAccount(Amount):
    pass


class CashEntry(Side):
    account = models.ForeignKey(CashAccount, models.CASCADE)


class AbroadAccount(Amount):
    pass


class AbroadEntry(Side):
    account = models.ForeignKey(AbroadAccount, models.CASCADE)


MODELS = {
    "bank": (Account, Entry),
    "cash": (CashAccount, CashEntry),
    "abroad": (AbroadAccount, AbroadEntry),
}
"""By the cluster."""
