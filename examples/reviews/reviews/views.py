"""Takes what a person writes about a product, keeps it, goes back to the product."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone

from products.models import Product
from reviews.figures import refresh_after_commit
from reviews.forms import ReviewForm
from reviews.models import Review
from reviews.reading import own_review


@login_required
def write(request: HttpRequest, pk: int) -> HttpResponse:
    """One review per person and product: a second one changes the first."""
    product = get_object_or_404(Product, pk=pk)
    author = request.user.pk
    assert author is not None
    own = own_review(product.pk, author)
    form = ReviewForm(request.POST or None, instance=own)
    if request.method == "POST" and form.is_valid():
        keep(product, author, form.cleaned_data)
        messages.success(request, "Your review has been saved.")
        return redirect(product)
    context = {"product": product, "form": form, "own": own}
    return render(request, "reviews/write.html", context)


def keep(product: Product, author_id: int, written: dict[str, object]) -> None:
    """Two windows that send at the same time end in one review."""
    Review.objects.update_or_create(
        product_id=product.pk,
        author_id=author_id,
        defaults={**written, "updated": timezone.now()},
        create_defaults=written,
    )
    refresh_after_commit([product.pk])


@login_required
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    product = get_object_or_404(Product, pk=pk)
    own = own_review(product.pk, request.user.pk)
    if own is None:
        messages.info(request, "You have no review of this film.")
        return redirect(product)
    if request.method == "POST":
        own.delete()
        refresh_after_commit([product.pk])
        messages.success(request, "Your review has been deleted.")
        return redirect(product)
    return render(request, "reviews/delete.html", {"product": product, "own": own})
