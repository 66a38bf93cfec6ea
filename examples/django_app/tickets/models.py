from django.conf import settings
from django.db import models
from django.urls import reverse
from django.utils import timezone


class Ticket(models.Model):
    class Status(models.TextChoices):
        WAITING = "waiting", "Waiting"
        TAKEN = "taken", "In hand"
        SOLVED = "solved", "Solved"

    class Urgency(models.IntegerChoices):
        WHENEVER = 1, "Whenever"
        TODAY = 2, "Today"
        NOW = 3, "Now"

    subject = models.CharField(max_length=100)
    place = models.CharField(max_length=60)
    asked_by = models.CharField(max_length=60)
    urgency = models.PositiveSmallIntegerField(choices=Urgency.choices, default=Urgency.TODAY)
    status = models.CharField(max_length=8, choices=Status.choices, default=Status.WAITING, db_index=True)
    agent = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True)
    opened_at = models.DateTimeField(default=timezone.now)
    changed_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["-urgency", "opened_at"]

    def __str__(self):
        return f"{self.pk} · {self.subject}"

    def save(self, *arguments, **options):
        self.changed_at = timezone.now()
        super().save(*arguments, **options)

    def get_absolute_url(self):
        return reverse("ticket", args=[self.pk])

    def card(self):
        """What the queue shows of it."""
        return {
            "id": self.pk,
            "subject": self.subject,
            "place": self.place,
            "asked_by": self.asked_by,
            "urgency": int(self.urgency),
            "status": str(self.status),
            "agent": self.agent.get_username() if self.agent else None,
            "opened_at": self.opened_at.isoformat(),
            "changed_at": self.changed_at.isoformat(),
        }


class Note(models.Model):
    ticket = models.ForeignKey(Ticket, on_delete=models.CASCADE, related_name="notes")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT)
    text = models.TextField(max_length=1000)
    written_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["pk"]

    def __str__(self):
        return f"{self.author} on {self.ticket_id}"

    def card(self):
        return {
            "id": self.pk,
            "ticket": self.ticket_id,
            "author": self.author.get_username(),
            "text": self.text,
            "written_at": self.written_at.isoformat(),
        }
