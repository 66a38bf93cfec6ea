"""What clients of the channel do, as ordinary views: sessions, permissions and database as in any other."""

import json

from django.contrib.auth.decorators import permission_required
from django.http import HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404

from cometware.django import channel
from tickets.models import Ticket


def arrived(request):
    if not request.user.is_authenticated:
        return JsonResponse({"why": "log in first"}, status=401)
    here = people() | {request.user.get_username()}
    return JsonResponse({"join": ["room:desk"], "publish": [people_now(here)]})


def left(request):
    return JsonResponse({"publish": [people_now(people())]})


def watch(request):
    """Hear what happens to one ticket."""
    ticket = get_object_or_404(Ticket, pk=json.loads(request.body)["data"])
    return JsonResponse({"join": [f"room:ticket-{ticket.pk}"]})


@permission_required("tickets.change_ticket", raise_exception=True)
def take(request):
    ticket_id = json.loads(request.body)["data"]
    if not Ticket.objects.filter(pk=ticket_id).exists():
        return HttpResponse(status=404)
    return JsonResponse({"taken": take_for(request.user, ticket_id)})


def take_for(user, ticket_id):
    """Give a waiting ticket to an agent. False: somebody was faster."""
    won = Ticket.objects.filter(pk=ticket_id, status=Ticket.Status.WAITING).update(status=Ticket.Status.TAKEN, agent=user)
    if won:
        Ticket.objects.get(pk=ticket_id).save()  # so that the signal is sent
    return bool(won)


def people():
    return {presence.user for presence in channel.presence("room:desk")}


def people_now(names):
    return {"event": "people", "data": sorted(names), "to": "room:desk"}
