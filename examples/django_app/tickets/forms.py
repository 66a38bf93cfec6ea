from django import forms

from tickets.models import Note, Ticket


class TicketForm(forms.ModelForm):
    class Meta:
        model = Ticket
        fields = ["subject", "place", "asked_by", "urgency"]
        labels = {"subject": "What is wrong?", "place": "Where?", "asked_by": "Who asks?", "urgency": "By when?"}


class NoteForm(forms.ModelForm):
    class Meta:
        model = Note
        fields = ["text"]


class AnnouncementForm(forms.Form):
    text = forms.CharField(max_length=200)
