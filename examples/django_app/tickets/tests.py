"""The help desk through WSGI, as a server calls it: each test once with the channel in front, and once without.

`python manage.py test`
"""

import re
from contextlib import nullcontext
from io import StringIO

from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import TestCase, TransactionTestCase, override_settings
from helpdesk import wsgi
from werkzeug.test import Client

from cometware.django import channel
from cometware.hooks import HOOK
from tickets.management.commands.demo import fill
from tickets.models import Ticket

quickly = override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"])
TICKET = {"subject": "The clock is late", "place": "Hall", "asked_by": "Guard", "urgency": "3"}


class Pages:
    """What the pages do, for whoever is in front of them."""

    site = None

    @classmethod
    def setUpTestData(cls):
        fill()

    def setUp(self):
        self.browser = Client(self.site)
        self.before = channel.position

    def log_in(self, name, password=None):
        return self.post("/login/", username=name, password=password or name)

    def post(self, path, **form):
        """Send a form as a browser does: with the token of its page."""
        page = self.browser.get("/" if self.browser.get_cookie("sessionid") else "/login/").text
        token = re.search('name="csrfmiddlewaretoken" value="([^"]+)"', page)[1]
        with self.committing():
            return self.browser.post(
                path, data={"csrfmiddlewaretoken": token, **form}, headers={"Referer": "http://localhost/"}
            )

    def committing(self):
        """The transaction of a test is never committed; do all the same what waits for that."""
        return self.captureOnCommitCallbacks(execute=True)

    def published(self, event):
        """What was published in this test."""
        entries = channel.recent_entries("room:desk", 100)
        return [e.data for e in entries if e.position.offset > self.before.offset and e.message.event == event]

    def test_who_is_not_logged_in_is_sent_to_the_login(self):
        for path in ("/", "/tickets/205/", "/tickets/new/", "/tickets.csv"):
            answer = self.browser.get(path)
            self.assertEqual((answer.status_code, answer.location), (302, f"/login/?next={path}"))

    def test_a_wrong_password_is_refused(self):
        self.assertIn("Name and password do not match.", self.log_in("ann", "bob").text)
        self.assertEqual(self.browser.get("/").status_code, 302)

    def test_the_queue_has_the_urgent_first(self):
        self.log_in("cleo")
        page = self.browser.get("/").text
        self.assertEqual(
            re.findall('class="card".* data-id="(2..)"', page), ["208", "206", "207", "203", "205", "202", "204", "201"]
        )

    def test_a_form_without_its_token_is_refused(self):
        self.log_in("bob")
        self.assertEqual(self.browser.post("/tickets/208/take/").status_code, 403)
        self.assertEqual(Ticket.objects.get(pk=208).status, "waiting")

    def test_a_new_ticket_is_published(self):
        self.log_in("cleo")
        self.assertEqual(self.post("/tickets/new/", **TICKET).location, "/")
        (published,) = self.published("ticket")
        self.assertEqual((published["subject"], published["status"]), ("The clock is late", "waiting"))
        self.assertIn("The clock is late", self.browser.get("/").text)

    def test_a_ticket_without_a_place_is_sent_back(self):
        self.log_in("cleo")
        answer = self.post("/tickets/new/", **TICKET | {"place": ""})
        self.assertEqual(answer.status_code, 422)
        self.assertIn('value="The clock is late"', answer.text)
        self.assertEqual(self.published("ticket"), [])

    def test_a_ticket_is_taken_once_and_solved(self):
        self.log_in("bob")
        self.assertEqual(self.post("/tickets/208/take/").location, "/tickets/208/")
        self.post("/tickets/208/take/")
        self.assertIn("Somebody was faster", self.browser.get("/tickets/208/").text)
        self.post("/tickets/208/solve/")
        seen = [(ticket["id"], ticket["status"], ticket["agent"]) for ticket in self.published("ticket")]
        self.assertEqual(seen, [(208, "taken", "bob"), (208, "solved", "bob")])

    def test_who_is_in_training_takes_nothing(self):
        self.log_in("cleo")
        self.assertNotIn(">Take<", self.browser.get("/").text)
        self.assertEqual(self.post("/tickets/208/take/").status_code, 403)

    def test_what_people_write_is_escaped(self):
        self.log_in("cleo")
        self.post("/tickets/205/note/", text="<script>1</script>")
        page = self.browser.get("/tickets/205/").text
        self.assertIn("&lt;script&gt;1&lt;/script&gt;", page)
        self.assertNotIn("<script>1", page)

    def test_a_note_reaches_who_watches_the_ticket(self):
        self.log_in("cleo")
        self.post("/tickets/205/note/", text="It is the cable.")
        note = channel.recent("room:ticket-205", 1)[0]
        self.assertEqual((note["author"], note["text"]), ("cleo", "It is the cable."))

    def test_the_export_is_complete(self):
        self.log_in("cleo")
        answer = self.browser.get("/tickets.csv")
        self.assertEqual(answer.content_type, "text/csv")
        self.assertEqual(len(answer.text.splitlines()), 9)
        self.assertIn("205,Till 2 prints no receipts,Museum shop,Shop,3,taken,bob,", answer.text)

    def test_the_admin_publishes_too(self):
        self.log_in("ann")
        self.assertIn("Meridian help desk", self.browser.get("/admin/tickets/ticket/208/change/").text)
        form = {"notes-TOTAL_FORMS": "0", "notes-INITIAL_FORMS": "0", "opened_at_0": "2026-01-02", "opened_at_1": "03:04"}
        ann = User.objects.get(username="ann").pk
        self.post("/admin/tickets/ticket/208/change/", **TICKET, **form, status="taken", agent=ann)
        self.assertEqual([ticket["agent"] for ticket in self.published("ticket")], ["ann"])

    def test_an_announcement_is_for_who_runs_the_desk(self):
        self.log_in("bob")
        self.assertIn("/admin/login/", self.post("/announce/", text="Cake!").location)
        self.assertEqual(self.published("announcement"), [])
        self.browser = Client(self.site)
        self.log_in("ann")
        self.post("/announce/", text="Cake!")
        self.assertEqual(self.published("announcement"), [{"text": "Cake!"}])

    def test_logging_out_ends_the_session(self):
        self.log_in("ann")
        self.assertEqual(self.post("/logout/").location, "/login/")
        self.assertEqual(self.browser.get("/").status_code, 302)

    def test_the_channel_ends_when_the_session_is_gone_and_not_before(self):
        self.log_in("ann")
        self.committing = nullcontext
        with self.captureOnCommitCallbacks() as at_commit:
            self.post("/logout/")
        self.assertEqual(self.revoked(), [])
        for call in at_commit:
            call()
        self.assertEqual(self.revoked(), [("user:ann",)])

    def revoked(self):
        return [entry.message.to for entry in channel.log.since(self.before.offset) if entry.message.kind == "revoke"]

    def test_static_files_are_served(self):
        self.assertIn("Meridian help desk", self.browser.get("/static/tickets/style.css", buffered=True).text)


@quickly
class WithoutTheChannel(Pages, TestCase):
    site = wsgi.site


@quickly
class WithTheChannel(Pages, TestCase):
    site = wsgi.application


@quickly
class Hooks(TransactionTestCase):
    """What clients of the channel do: each hook is a request of its own, with a database connection of its own."""

    site = wsgi.application
    log_in, post, committing = Pages.log_in, Pages.post, nullcontext

    def setUp(self):
        fill()
        self.browser = Client(self.site)

    def emit(self, event, data):
        """Say something by a POST without a key, which is a client for the length of one request."""
        return self.browser.post("/comet", json={"event": event, "data": data})

    def test_a_stranger_is_refused(self):
        answer = self.emit("take", 208)
        self.assertEqual((answer.status_code, answer.json), (401, {"why": "log in first"}))

    def test_an_agent_takes_a_ticket(self):
        self.log_in("bob")
        self.assertEqual(self.emit("take", 208).json["data"], {"taken": True})
        self.assertEqual(self.emit("take", 208).json["data"], {"taken": False})
        self.assertEqual(Ticket.objects.get(pk=208).agent.username, "bob")

    def test_who_is_in_training_is_refused(self):
        self.log_in("cleo")
        answer = self.emit("take", 208)
        self.assertEqual((answer.json["error"]["code"], answer.json["error"]["status"]), ("refused", 403))

    def test_a_ticket_that_is_not_there_is_refused(self):
        self.log_in("bob")
        for event in ("take", "watch"):
            self.assertEqual(self.emit(event, 7).json["error"]["status"], 404)

    def test_hooks_are_for_the_channel_alone(self):
        self.log_in("bob")
        self.assertEqual(self.browser.post("/realtime/event/take", json={"data": 208}).status_code, 404)
        as_the_channel = {"cometware.hook": HOOK}
        answer = self.browser.post("/realtime/event/watch", json={"data": 208}, environ_overrides=as_the_channel)
        self.assertEqual(answer.json, {"join": ["room:ticket-208"]})

    def test_the_command_announces(self):
        call_command("announce", "The café closes at four.", stdout=StringIO())
        self.assertEqual(channel.recent("room:desk", 1), [{"text": "The café closes at four."}])
