import cometware.django
from cometware import Channel
from tests.apps.members import only_members

channel = only_members(Channel(around=cometware.django.around))
