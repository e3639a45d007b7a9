"""Takes requests about people, gives their pages. Their reviews come from elsewhere."""

from django.contrib import messages
from django.contrib.auth import get_user_model, login
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render, resolve_url
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.debug import sensitive_post_parameters

from accounts.forms import NameForm, SignUpForm
from accounts.models import User
from reviews.reading import reviews_by

REVIEWS_PER_PAGE = 20


def safe_next(request: HttpRequest) -> str:
    """Where to go on to: an address of this site, else the account page."""
    asked = request.POST.get("next") or request.GET.get("next") or ""
    if url_has_allowed_host_and_scheme(asked, {request.get_host()}):
        return asked
    return resolve_url("account")


@sensitive_post_parameters()
def sign_up(request: HttpRequest) -> HttpResponse:
    if request.user.is_authenticated:
        return redirect(safe_next(request))
    form = SignUpForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        user = form.save()
        login(request, user)
        messages.success(request, f"Welcome, {user}. You can write reviews now.")
        return redirect(safe_next(request))
    context = {"form": form, "next": request.GET.get("next", "")}
    return render(request, "accounts/signup.html", context)


@login_required
def account(request: HttpRequest) -> HttpResponse:
    user = get_object_or_404(User, pk=request.user.pk)
    form = NameForm(request.POST or None, instance=user)
    if request.method == "POST" and form.is_valid():
        form.save()
        messages.success(request, "Your name has been changed.")
        return redirect("account")
    return show_person(request, user, "accounts/account.html", form=form)


def person(request: HttpRequest, username: str) -> HttpResponse:
    user = get_object_or_404(get_user_model(), username=username, is_active=True)
    return show_person(request, user, "accounts/person.html")


def show_person(
    request: HttpRequest, user: User, template: str, **context: object
) -> HttpResponse:
    shelf = reviews_by(request, user, REVIEWS_PER_PAGE)
    context |= {"person": user, "shelf": shelf}
    return render(request, template, context, status=200 if shelf.reachable else 503)
