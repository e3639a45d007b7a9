from django.contrib import admin

from metrics.models import Event

admin.site.register(Event)
