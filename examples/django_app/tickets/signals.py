"""Whatever changes a ticket, a view, the admin or a shell: who looks at it sees that. And who logs out hears no more."""

from django.contrib.auth.signals import user_logged_out
from django.db import transaction
from django.db.models.signals import post_save
from django.dispatch import receiver

from cometware.django import channel
from tickets.models import Note, Ticket


@receiver(post_save, sender=Ticket)
def ticket_saved(instance, **_):
    # After the commit: who gets the news may ask for the ticket at once.
    transaction.on_commit(lambda: channel.publish(instance.card(), event="ticket", to="room:desk"))


@receiver(post_save, sender=Note)
def note_saved(instance, **_):
    room = f"room:ticket-{instance.ticket_id}"
    transaction.on_commit(lambda: channel.publish(instance.card(), event="note", to=room))


@receiver(user_logged_out)
def logged_out(user, **_):
    if user is not None:
        # After the commit: the session is in the database until then, and would let a page in that opens just now.
        name = user.get_username()
        transaction.on_commit(lambda: channel.revoke(name))
