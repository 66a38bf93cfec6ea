import json
import time

import gevent
from django.contrib.auth import authenticate, login
from django.contrib.auth.decorators import login_required, permission_required
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import transaction
from django.http import HttpResponse, JsonResponse
from django.middleware.csrf import get_token
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from cometware.django import channel
from tests.hooks.django_site.signals import counted
from tests.hooks.journal import Journal
from tests.live.held import held

journal = Journal()


def asked(request):
    return json.loads(request.body)


# What clients do


def opened(request):
    told = asked(request)
    if "login" in told["query"] and not request.user.is_authenticated:
        return JsonResponse({"why": "log in first"}, status=401)
    if "members" in told["query"]:
        return members(request)
    journal.write("open", client=told["client"], user=told["user"], seen=request.user.get_username())
    return HttpResponse(status=204)


@login_required(login_url="/login")
def members(request):
    return HttpResponse(status=204)


def said(request):
    told = asked(request)
    return JsonResponse({"publish": [{"data": {"from": request.user.get_username(), "text": told["data"]}}]})


def left(request):
    told = asked(request)
    journal.write("close", client=told["client"], reason=told["reason"], seen=request.user.get_username())
    return HttpResponse(status=204)


def whoami(request):
    return JsonResponse({"user": request.user.get_username(), "secure": request.is_secure(), "host": request.get_host()})


@permission_required("auth.add_user", raise_exception=True)
def invite(request):
    with transaction.atomic():
        User.objects.create(username=asked(request)["data"])
    return JsonResponse({"users": User.objects.count()})


def count(request):
    """What is in the session stays there."""
    request.session["count"] = request.session.get("count", 0) + 1
    return JsonResponse({"count": request.session["count"]})


def failing(request):
    User.objects.count()
    raise RuntimeError("the test asked for it")


def waiting(request):
    User.objects.count()
    journal.write("begin", data=asked(request)["data"])
    time.sleep(60)


# The site


@csrf_exempt
def log_in(request, name):
    login(request, authenticate(request, username=name, password=name))
    return HttpResponse(name)


@csrf_exempt
def forget(request):
    """Let the session end without a word to anybody, as by its age."""
    request.session.flush()
    return HttpResponse()


def form(request):
    return HttpResponse(get_token(request))


@csrf_exempt
def publish(request, way):
    """Publish in a view, in a native thread, or by a management command."""
    text = asked(request)["data"]
    if way == "view":
        channel.publish(text)
    elif way == "environ":
        request.META["cometware.channel"].publish(text)
    elif way == "thread":
        gevent.get_hub().threadpool.apply(channel.publish, (text,))
    elif way == "command":
        call_command("announce", text)
    elif way == "signal":
        User.objects.create(username=text)
    return JsonResponse(None, safe=False)


def signals(request):
    return JsonResponse(counted)


def count_held(request):
    return JsonResponse(held())


def read_journal(request):
    return JsonResponse(journal.read(request.GET.dict()), safe=False)


urlpatterns = [
    path("realtime/open", opened),
    path("realtime/message", said),
    path("realtime/close", left),
    path("realtime/event/whoami", whoami),
    path("realtime/event/invite", invite),
    path("realtime/event/count", count),
    path("realtime/event/failing", failing),
    path("realtime/event/waiting", waiting),
    path("login/<name>", log_in),
    path("forget", forget),
    path("form", form),
    path("publish/<way>", publish),
    path("signals", signals),
    path("held", count_held),
    path("journal", read_journal),
]
