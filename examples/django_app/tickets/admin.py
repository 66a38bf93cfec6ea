from django.contrib import admin

from tickets.models import Note, Ticket


class NoteInline(admin.TabularInline):
    model = Note
    extra = 0


@admin.register(Ticket)
class TicketAdmin(admin.ModelAdmin):
    list_display = ["id", "subject", "place", "urgency", "status", "agent", "opened_at"]
    list_filter = ["status", "urgency", "agent"]
    list_editable = ["urgency", "status", "agent"]
    search_fields = ["subject", "place", "asked_by"]
    inlines = [NoteInline]


admin.site.site_header = "Meridian help desk"
admin.site.site_title = "Meridian help desk"
