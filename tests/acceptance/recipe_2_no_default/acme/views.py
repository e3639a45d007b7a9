from django.contrib.auth.decorators import login_required
from django.http import JsonResponse
from django.shortcuts import redirect

from acme.models import Note


@login_required(login_url="login")
def notes(request):
    """Show a person's notes; a POST adds one."""
    if request.method == "POST":
        Note.objects.create(author=request.user, text=request.POST["text"])
        return redirect("notes")
    texts = Note.objects.filter(author=request.user).values_list("text", flat=True)
    return JsonResponse({"author": request.user.username, "notes": list(texts)})
