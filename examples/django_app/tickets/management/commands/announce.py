"""`manage.py announce "The café closes at four."`: everybody at the desk reads it."""

from django.core.management.base import BaseCommand

from cometware.django import channel


class Command(BaseCommand):
    help = "Tell something to everybody who is at the desk."

    def add_arguments(self, parser):
        parser.add_argument("text")

    def handle(self, text, **_):
        position = channel.publish({"text": text}, event="announcement", to="room:desk")
        self.stdout.write(f"published at {position}")
