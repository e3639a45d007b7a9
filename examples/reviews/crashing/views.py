"""Takes staff who kill a process in the middle of a unit of work, shows what is left.

GET shows; the two buttons POST, and end in a redirect that says in its address which
review the page is about.
"""

from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.admin.views.decorators import staff_member_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render, resolve_url
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods
from shoal.transactions.recovering import Found, recover

from crashing import killing, looking
from crashing.forms import AttemptForm, KillForm
from crashing.killing import STEPS, Attempt, NotKilled


@never_cache
@staff_member_required
@require_http_methods(["GET", "HEAD", "POST"])
def crash(request: HttpRequest) -> HttpResponse:
    attempt = AttemptForm(request.GET).attempt()
    before = {"step": request.GET["step"]} if "step" in request.GET else None
    form = KillForm(request.POST if "kill" in request.POST else None, initial=before)
    if "recover" in request.POST:
        recover_and_tell(request)
        return back(attempt, request.GET.get("step", ""))
    if form.is_bound and form.is_valid():
        step = form.cleaned_data["step"]
        return back(kill_and_tell(request, step) or attempt, step)
    context = {
        "form": form,
        "doubt": looking.in_doubt(),
        "said": looking.ask(attempt) if attempt else None,
    }
    return render(request, "crashing/crash.html", context)


def back(attempt: Attempt | None, step: str) -> HttpResponse:
    where = resolve_url("crash")
    if attempt is None:
        return redirect(where)
    return redirect(f"{where}?{urlencode(vars(attempt) | {'step': step})}")


def kill_and_tell(request: HttpRequest, step: str) -> Attempt | None:
    attempt = killing.choose()
    if attempt is None:
        messages.warning(request, "There is no film that nobody could review.")
        return None
    try:
        killing.kill(attempt, step)
    except NotKilled as error:
        messages.warning(request, f"The process was not killed: {error}.")
    else:
        messages.info(request, f"The process was killed as soon as {STEPS[step]}.")
    return attempt


def recover_and_tell(request: HttpRequest) -> None:
    done = recover()
    for found in done.found:
        level = messages.WARNING if found.is_left else messages.SUCCESS
        messages.add_message(request, level, in_words(found))
    for name in done.down:
        messages.warning(request, f"{name} can’t be reached; recover again later.")
    if not done.found and not done.down:
        messages.info(request, "Nothing was in doubt.")


def in_words(found: Found) -> str:
    words = f"{found.branch.alias}: {found.fate}"
    if found.is_left:
        return f"{words}, {found.why}." if found.why else f"{words}."
    decided = "has" if found.fate == "committed" else "has not"
    return f"{words}, since {found.branch.name.home} {decided} decided to commit."
