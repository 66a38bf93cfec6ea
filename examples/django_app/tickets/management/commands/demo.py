"""`manage.py demo`: make the database, and fill it once, if it is empty."""

from datetime import timedelta

from django.contrib.auth.models import Permission, User
from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import transaction
from django.utils import timezone

from tickets.models import Note, Ticket

# number, subject, place, who asks, urgency, status, agent, opened so many minutes ago
TICKETS = (
    (208, "The planetarium projector shows the sky upside down", "Dome", "Irina, planetarium", 3, "waiting", None, 9),
    (207, "Audio guides at the south desk do not charge", "South entrance", "Front desk", 2, "waiting", None, 48),
    (206, "Badge reader beeps, but the door stays shut", "Archive, level −1", "Dr. Oyelaran", 2, "waiting", None, 71),
    (203, "Label printer prints every label twice", "Conservation lab", "Mika", 1, "waiting", None, 260),
    (205, "Till 2 prints no receipts", "Museum shop", "Shop", 3, "taken", "bob", 33),
    (202, "Humidity log of room 14 stops at midnight", "Room 14", "Registrar", 2, "taken", "ann", 410),
    (204, "No sound in the whale film", "Cinema", "Guard on duty", 3, "solved", "bob", 150),
    (201, "New colleague needs an account", "Office 3", "Personnel", 2, "solved", "ann", 900),
)
# ticket, author, text, written so many minutes ago
NOTES = (
    (205, "bob", "Paper is in, the cable is not. Somebody tidied up.", 25),
    (205, "ann", "There is a spare one in the drawer of till 1.", 21),
    (202, "ann", "The logger writes to a disk that is full. Making room.", 95),
    (204, "bob", "The amplifier was asleep. It is awake.", 120),
)


class Command(BaseCommand):
    help = "Make the database, and fill it once with a demonstration: ann, bob and cleo, each with the name as password."

    def handle(self, **_):
        call_command("migrate", verbosity=0)
        with transaction.atomic():
            if not User.objects.exists():
                fill()


def fill():
    people = {"ann": User.objects.create_superuser("ann", password="ann", first_name="Ann")}
    for name in ("bob", "cleo"):
        people[name] = User.objects.create_user(name, password=name, first_name=name.title())
    # bob is an agent; cleo is in training, and may look and write notes
    people["bob"].user_permissions.add(Permission.objects.get(codename="change_ticket"))
    now = timezone.now()
    for number, subject, place, asked_by, urgency, status, agent, minutes in reversed(TICKETS):
        Ticket.objects.create(
            pk=number,
            subject=subject,
            place=place,
            asked_by=asked_by,
            urgency=urgency,
            status=status,
            agent=people.get(agent),
            opened_at=now - timedelta(minutes=minutes),
        )
    for number, author, text, minutes in NOTES:
        written_at = now - timedelta(minutes=minutes)
        Note.objects.create(ticket_id=number, author=people[author], text=text, written_at=written_at)
