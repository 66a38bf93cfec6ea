from django.apps import AppConfig


class Site(AppConfig):
    name = "tests.hooks.django_site"

    def ready(self):
        from django.contrib.auth.models import User
        from django.core.signals import request_finished, request_started
        from django.db.models.signals import post_save

        from tests.hooks.django_site import signals

        request_started.connect(signals.started)
        request_finished.connect(signals.finished)
        post_save.connect(signals.saved, sender=User)
