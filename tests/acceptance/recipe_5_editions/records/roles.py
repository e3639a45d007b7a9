def audience_of(request):
    """
    Only the name that the intranet's own front server passes on shows all records.

    Whoever reaches the site by any other name, or none, is external.
    """
    host = request.get_host().partition(":")[0]
    return "internal" if host == "intranet.localhost" else "external"
