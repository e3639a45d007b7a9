from django.http import JsonResponse

from catalog.models import Product
from metrics.models import Event
from orders.models import Order
from shoal.routing import choices

MODELS = {"catalog": Product, "orders": Order, "metrics": Event}


def overview(request):
    """List what each cluster has, and who said so; a POST writes on some of them."""
    for cluster in request.POST.getlist("write"):
        MODELS[cluster].objects.create(name=request.POST["name"])
    found = {}
    for cluster, model in MODELS.items():
        names = list(model.objects.order_by("pk").values_list("name", flat=True))
        choice = choices()[cluster]
        found[cluster] = [choice.alias, choice.reason, names]
    return JsonResponse(found)
