def edition_of(request):
    """
    Editors work on the draft, everybody else reads what is published.

    Asks for `request.user`, so Shoal's middleware stands behind Django's own.
    """
    return "draft" if request.user.is_staff else "public"
