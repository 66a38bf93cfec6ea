import json
import os

import cometware.django
from cometware import Channel, Limits

channel = Channel(limits=Limits(**json.loads(os.environ.get("LIMITS", "{}"))), around=cometware.django.around)


@channel.on("python")
def python(client, data):
    from django.contrib.auth.models import User

    return {"of": client.user, "users": User.objects.count()}
