"""A Django project's own tests, as its authors would write them: run by `manage.py test`."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.test import TestCase

from cometware import Refused
from cometware.testing import Client
from tests.hooks.django_site.live import channel
from tests.hooks.django_site.wsgi import application


class ChannelTest(TestCase):
    def setUp(self) -> None:
        User.objects.create_user("ann", password="ann")
        self.live = Client(application, host="testserver")
        self.addCleanup(self.live.close)

    def log_in(self) -> None:
        self.client.force_login(User.objects.get(username="ann"))
        self.live.set_cookie("sessionid", self.client.cookies["sessionid"].value)

    def test_the_page_of_a_stranger_is_refused(self) -> None:
        with self.assertRaises(Refused) as refused:
            self.live.connect(query={"login": 1})
        self.assertEqual(refused.exception.status, 401)
        self.assertIn(b"log in first", refused.exception.body)

    def test_the_session_of_djangos_own_client_is_that_of_the_connection(self) -> None:
        self.log_in()
        ann = self.live.connect(query={"login": 1})
        self.assertEqual(ann.ask("whoami"), {"user": "ann", "secure": False, "host": "testserver"})
        self.assertEqual([presence.user for presence in channel.presence()], ["ann"])

    def test_hooks_see_the_transaction_of_the_test(self) -> None:
        self.log_in()
        ann = self.live.connect("sse")
        with self.assertRaises(Refused) as refused:
            ann.ask("invite", "eve")
        self.assertEqual(refused.exception.status, 403)
        User.objects.update(is_superuser=True)
        ann.ask("invite", "eve")
        self.assertTrue(User.objects.filter(username="eve").exists())

    def test_handlers_that_close_old_connections_see_the_transaction_too(self) -> None:
        self.log_in()
        ann = self.live.connect(query={"login": 1})
        self.assertEqual(ann.ask("python"), {"of": "ann", "users": 1})
        User.objects.create_user("eve")
        self.assertEqual(ann.ask("python"), {"of": "ann", "users": 2})

    def test_djangos_own_client_may_be_used_between(self) -> None:
        self.log_in()
        for _ in range(2):
            self.assertEqual(self.client.get("/nothing").status_code, 404)
            ann = self.live.connect(query={"login": 1})
            self.assertEqual(self.live.get("/nothing").status_code, 404)
            self.assertEqual(ann.ask("python"), {"of": "ann", "users": 1})
            ann.leave()

    def test_who_was_revoked_and_comes_again_is_let_in(self) -> None:
        self.log_in()
        before = self.live.connect(query={"login": 1})
        channel.revoke("ann")
        again = self.live.connect(query={"login": 1})
        self.assertEqual(again.ask("python"), {"of": "ann", "users": 1})
        self.assertEqual((before.is_open, again.is_open), (False, True))

    def test_what_one_test_has_done_is_gone_in_the_next(self) -> None:
        self.assertEqual([user.username for user in User.objects.all()], ["ann"])
        self.assertEqual(channel.presence(), [])
