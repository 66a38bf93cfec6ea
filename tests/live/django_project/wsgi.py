import os

from django.core.wsgi import get_wsgi_application

import cometware.django
from cometware import Channel, Cometware

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.live.django_project.settings")
channel = Channel(around=cometware.django.around)
application = Cometware(get_wsgi_application(), channel, path="/comet", user=cometware.django.user)


@channel.on("who")
def who(client, data):
    from django.contrib.auth.models import User
    from django.db import connection

    users = User.objects.count()
    return {"user": client.user, "users": users, "connected": connection.connection is not None}
