"""The help desk as a WSGI application, with the channel in front."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "helpdesk.settings")

from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core.wsgi import get_wsgi_application

import cometware.django
from cometware import Cometware
from cometware.django import channel

site = StaticFilesHandler(get_wsgi_application())
application = Cometware(site, channel, "/comet", user=cometware.django.user, hooks="/realtime")
