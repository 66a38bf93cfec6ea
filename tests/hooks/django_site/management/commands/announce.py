from django.core.management.base import BaseCommand

from cometware.django import channel


class Command(BaseCommand):
    def add_arguments(self, parser):
        parser.add_argument("text")

    def handle(self, *args, text, **options):
        self.stdout.write(str(channel.publish(text, event="announcement")))
