"""Takes what a person writes about a product, keeps it, goes back to the product."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from products.models import Product
from reviews.forms import ReviewForm
from reviews.reading import own_review
from reviews.writing import keep, remove


@login_required
def write(request: HttpRequest, pk: int) -> HttpResponse:
    """One review per person and product: a second one changes the first."""
    product = get_object_or_404(Product, pk=pk)
    author = request.user.pk
    assert author is not None
    own = own_review(product.pk, author)
    form = ReviewForm(request.POST or None, instance=own)
    if request.method == "POST" and form.is_valid():
        keep(product.pk, author, form.cleaned_data)
        messages.success(request, "Your review has been saved.")
        return redirect(product)
    context = {"product": product, "form": form, "own": own}
    return render(request, "reviews/write.html", context)


@login_required
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    product = get_object_or_404(Product, pk=pk)
    own = own_review(product.pk, request.user.pk)
    if own is None:
        messages.info(request, "You have no review of this film.")
        return redirect(product)
    if request.method == "POST":
        remove(product_id=product.pk, author_id=own.author_id)
        messages.success(request, "Your review has been deleted.")
        return redirect(product)
    return render(request, "reviews/delete.html", {"product": product, "own": own})
