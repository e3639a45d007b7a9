from django.http import JsonResponse
from django.shortcuts import redirect

from shoal.routing import choices
from stock.models import Item


def items(request):
    """List what is in stock; a POST adds an item and comes back to the list."""
    if request.method == "POST":
        Item.objects.create(name=request.POST["name"])
        return redirect("/items/")
    names = list(Item.objects.order_by("pk").values_list("name", flat=True))
    choice = choices()["default"]
    return JsonResponse({"items": names, "from": [choice.alias, choice.reason]})
