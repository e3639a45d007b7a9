from django.http import JsonResponse

from records.models import Record


def records(request):
    titles = Record.objects.order_by("title").values_list("title", flat=True)
    return JsonResponse({"records": list(titles)})
