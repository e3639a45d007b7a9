from django.contrib import messages
from django.contrib.auth import aget_user
from django.contrib.auth.decorators import login_required
from django.http import JsonResponse
from django.shortcuts import redirect

from reviews.models import Review
from shoal.routing import choices


def reviews(request):
    """List the reviews; a POST writes one and comes back to the list."""
    if request.method == "POST":
        return write(request)
    texts = Review.objects.order_by("pk").values_list("text", flat=True)
    return page(request.user, list(texts), messages.get_messages(request))


async def areviews(request):
    """List the reviews, in an async view."""
    user = await aget_user(request)
    texts = [review.text async for review in Review.objects.order_by("pk")]
    return page(user, texts, ())


@login_required
def write(request):
    Review.objects.create(author=request.user.username, text=request.POST["text"])
    messages.success(request, "Thank you.")
    return redirect("/reviews/")


def page(user, texts, said):
    return JsonResponse(
        {
            "visitor": user.get_username(),
            "reviews": texts,
            "said": [str(message) for message in said],
            "read_from": {
                name: [choice.alias, choice.reason]
                for name, choice in choices().items()
            },
        }
    )
