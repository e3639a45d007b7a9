from django.http import JsonResponse

from metrics.models import Event
from shop.models import Order


def orders(request):
    """List the orders; a POST places one and counts it."""
    if request.method == "POST":
        order = Order.objects.create(item=request.POST["item"], price="9.90")
        Event.objects.create(name="ordered", order_id=order.pk)
    items = Order.objects.order_by("pk").values_list("item", flat=True)
    return JsonResponse({"items": list(items)})
