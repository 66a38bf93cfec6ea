import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.apps.djangowiki.settings")

from django.core.wsgi import get_wsgi_application

import cometware.django
from cometware import Cometware
from cometware.django import channel

application = Cometware(get_wsgi_application(), channel, user=cometware.django.user)
