from django.contrib import admin

from acme.models import Note


@admin.register(Note)
class NoteAdmin(admin.ModelAdmin):
    list_display = ["text", "author"]
    # For a foreign key in `list_display` the admin joins its table, which is on another
    # server: tell it not to, and fetch the authors with one query of their own.
    list_select_related = ()

    def get_queryset(self, request):
        return super().get_queryset(request).prefetch_related("author")
