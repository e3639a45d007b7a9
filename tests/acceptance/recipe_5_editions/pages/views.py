from django.http import JsonResponse
from django.shortcuts import get_object_or_404

from pages.models import Page


def page(request, slug):
    """Show a page: its draft to an editor, what is published to a visitor."""
    found = get_object_or_404(Page, slug=slug)
    return JsonResponse(
        {
            "title": found.title,
            "topic": found.topic.name,
            "tags": [tag.name for tag in found.tags.order_by("name")],
            "sections": [section.text for section in found.sections.order_by("pk")],
        }
    )
