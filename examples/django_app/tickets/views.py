"""The pages. They know nothing of the channel, but for one: `announce` publishes."""

import csv

from django.contrib import messages
from django.contrib.admin.views.decorators import staff_member_required
from django.contrib.auth.decorators import login_required, permission_required
from django.http import StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from cometware.django import channel
from tickets.forms import AnnouncementForm, NoteForm, TicketForm
from tickets.hooks import take_for
from tickets.models import Ticket

SOLVED_SHOWN = 5


@login_required
def queue(request):
    after = str(channel.position)  # before the database is read: so nothing falls between
    tickets = Ticket.objects.select_related("agent")
    sections = [
        ("waiting", "Waiting", tickets.filter(status="waiting")),
        ("taken", "In hand", tickets.filter(status="taken")),
        ("solved", "Solved", tickets.filter(status="solved").order_by("-changed_at")[:SOLVED_SHOWN]),
    ]
    return render(request, "tickets/queue.html", {"sections": sections, "after": after})


@login_required
def ticket(request, ticket_id):
    after = str(channel.position)
    found = get_object_or_404(Ticket.objects.select_related("agent"), pk=ticket_id)
    notes = found.notes.select_related("author")
    return render(request, "tickets/ticket.html", {"ticket": found, "notes": notes, "after": after})


@login_required
def new_ticket(request):
    form = TicketForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        created = form.save()
        messages.success(request, f"Ticket {created.pk} is in the queue.")
        return redirect("queue")
    return render(request, "tickets/new.html", {"form": form}, status=422 if form.errors else 200)


@require_POST
@login_required
def add_note(request, ticket_id):
    found = get_object_or_404(Ticket, pk=ticket_id)
    form = NoteForm(request.POST)
    if form.is_valid():
        form.instance.ticket, form.instance.author = found, request.user
        form.save()
    else:
        messages.error(request, "A note has 1 to 1000 characters.")
    return redirect(found)


@require_POST
@permission_required("tickets.change_ticket", raise_exception=True)
def take(request, ticket_id):
    found = get_object_or_404(Ticket, pk=ticket_id)
    if not take_for(request.user, ticket_id):
        messages.error(request, f"Somebody was faster: ticket {ticket_id} is not waiting any more.")
    return redirect(found)


@require_POST
@permission_required("tickets.change_ticket", raise_exception=True)
def solve(request, ticket_id):
    found = get_object_or_404(Ticket, pk=ticket_id, status=Ticket.Status.TAKEN)
    found.status = Ticket.Status.SOLVED
    found.save()
    return redirect("queue")


@require_POST
@staff_member_required
def announce(request):
    form = AnnouncementForm(request.POST)
    if form.is_valid():
        channel.publish({"text": form.cleaned_data["text"]}, event="announcement", to="room:desk")
    return redirect("queue")


class Echo:
    """A file whose lines are kept by nobody: `write` returns them."""

    def write(self, line):
        return line


@login_required
def export(request):
    """All tickets as CSV, sent line by line."""
    header = {"Content-Disposition": 'attachment; filename="tickets.csv"'}
    return StreamingHttpResponse(csv_lines(), content_type="text/csv", headers=header)


def csv_lines():
    writer = csv.writer(Echo())
    columns = ["id", "subject", "place", "asked_by", "urgency", "status", "agent", "opened_at"]
    yield writer.writerow(columns)
    for found in Ticket.objects.select_related("agent").order_by("pk").iterator():
        card = found.card()
        yield writer.writerow([card[column] for column in columns])
