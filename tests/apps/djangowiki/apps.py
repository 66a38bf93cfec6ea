from django.apps import AppConfig

from cometware.django import channel


class Live(AppConfig):
    name = "tests.apps.djangowiki"

    def ready(self):
        from django.contrib.auth.signals import user_logged_out

        user_logged_out.connect(logged_out)


def logged_out(user, **_):
    if user is not None:
        channel.revoke(user.get_username())
