"""What clients of the channel do, as ordinary views: sessions, permissions and database as in any other."""

import json
import threading
import time

from django.contrib.auth.decorators import permission_required
from django.http import HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404

from cometware.django import channel
from tickets.models import Ticket


def arrived(request):
    if not request.user.is_authenticated:
        return JsonResponse({"why": "log in first"}, status=401)
    told = crowd.told
    crowd.changed(request.user.get_username())
    publish = []
    if told is not None and crowd.told is told:  # else this one hears it with the others
        publish.append({"event": "people", "data": told, "to": f"client:{json.loads(request.body)['client']}"})
    return JsonResponse({"join": ["room:desk"], "publish": publish})


def left(request):
    crowd.changed()
    return HttpResponse(status=204)


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


class Crowd:
    """Tells the desk who is at it: at most once a second, and a list of bounded length. To look at all who are here for each
    one who comes, and to tell it to all of them, would cost the more the more there are."""

    NAMES_SHOWN = 50
    PAUSE_SECONDS = 1.0

    def __init__(self):
        self.told = None
        self.told_at = -self.PAUSE_SECONDS
        self.lock = threading.Lock()
        self.waits = False

    def changed(self, *arriving):
        """Somebody has come or gone: tell it now, or together with what happens until the pause is over."""
        with self.lock:
            if self.waits:
                return
            self.waits = True
            pause = self.told_at + self.PAUSE_SECONDS - time.monotonic()
        if pause > 0:
            timer = threading.Timer(pause, self.tell)
            timer.daemon = True
            timer.start()
        else:
            self.tell(*arriving)  # who is just arriving is not among those who are here

    def tell(self, *arriving):
        self.told_at, self.waits = time.monotonic(), False
        names = sorted({presence.user for presence in channel.presence("room:desk")} | set(arriving))
        if names[: self.NAMES_SHOWN] != self.told:
            self.told = names[: self.NAMES_SHOWN]
            channel.publish(self.told, event="people", to="room:desk")


crowd = Crowd()
