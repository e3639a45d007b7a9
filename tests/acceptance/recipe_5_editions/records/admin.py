from django.contrib import admin

from records.models import Record

admin.site.register(Record)
