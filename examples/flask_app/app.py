"""A wholesale roastery's order desk: an ordinary Flask app, and five marked lines that make it live."""

import functools
import os
import secrets
from datetime import date
from pathlib import Path

from flask import Flask, abort, flash, g, redirect, render_template, request, session, url_for
from werkzeug.exceptions import HTTPException
from werkzeug.security import check_password_hash

# cometware 1: import it
import cometware.flask

if __package__:
    from . import chat, database
else:  # served from inside this folder
    import chat
    import database

app = Flask(__name__)
app.secret_key = os.environ.get("ORDERS_SECRET", "good enough for a demonstration on your own machine")
app.config["ORDERS_DB"] = os.environ.get("ORDERS_DB") or Path(app.root_path, "instance", "orders.db")
app.config["SESSION_COOKIE_SAMESITE"] = "Lax"
app.teardown_appcontext(database.close)

# cometware 2: one channel; its handlers run inside the app's context
channel = cometware.Channel(around=app.app_context)
# cometware 3: a URL for it, in front of the app, which knows the app's login
app.wsgi_app = cometware.Cometware(app.wsgi_app, channel, "/comet", user=cometware.flask.user(app, "user"))
# cometware 4: what to do with messages that come in
chat.furnish(channel)


# Login


@app.before_request
def who_and_from_where():
    g.user = session.get("user")
    if request.method == "POST":
        expected, got = session.get("csrf", ""), request.form.get("csrf", "")
        if not expected or not secrets.compare_digest(expected.encode(), got.encode()):
            abort(400, "This form is out of date. Go back, reload the page and send it again.")


@app.context_processor
def for_every_page():
    if "csrf" not in session:
        session["csrf"] = secrets.token_urlsafe(16)
    return {"user": g.get("user"), "csrf": session["csrf"]}


def login_required(view):
    @functools.wraps(view)
    def guarded(**arguments):
        if g.user is None:
            flash("Log in first, please.")
            goal = request.full_path.rstrip("?") if request.method == "GET" else url_for("desk")
            return redirect(url_for("login", next=goal))
        return view(**arguments)

    return guarded


@app.route("/login", methods=["GET", "POST"])
def login():
    name = request.form.get("name", "").strip()
    if request.method == "GET":
        return render_template("login.html", name=name, demo_users=database.DEMO_USERS)
    row = database.connection().execute("SELECT * FROM user WHERE name = ?", (name,)).fetchone()
    if row is None or not check_password_hash(row["password_hash"], request.form.get("password", "")):
        flash("Name and password do not match.", "error")
        return render_template("login.html", name=name, demo_users=database.DEMO_USERS), 401
    session.clear()
    session["user"] = row["name"]
    return redirect(inside(request.args.get("next")) or url_for("desk"))


@app.post("/logout")
def logout():
    session.clear()
    flash("You are logged out.")
    return redirect(url_for("login"))


def inside(goal):
    """Pass a path of this very site; anything that a browser might read as another host is None."""
    if goal and goal.startswith("/") and not goal.startswith(("//", "/\\")) and goal.isprintable():
        return goal
    return None


# Orders


@app.get("/")
def desk():
    rows = database.connection().execute(database.ORDER_ROWS + "ORDER BY due, id").fetchall()
    board = {status: [row for row in rows if row["status"] == status] for status in database.STATUSES}
    board["shipped"] = sorted(board["shipped"], key=lambda row: row["changed_at"], reverse=True)[:6]
    as_of = max((row["changed_at"] for row in rows), default="")
    return render_template("desk.html", board=board, as_of=as_of)


@app.get("/orders")
def orders():
    status = request.args.get("status")
    if status is not None and status not in database.STATUSES:
        abort(404)
    connection = database.connection()
    counts = dict(connection.execute("SELECT status, count(*) FROM orders GROUP BY status").fetchall())
    rows = connection.execute(
        database.ORDER_ROWS + "WHERE ? IS NULL OR status = ? ORDER BY orders.id DESC", (status, status)
    ).fetchall()
    return render_template("orders.html", orders=rows, chosen=status, counts=counts)


@app.get("/orders/<int:order_id>")
def order(order_id):
    steps = database.connection().execute("SELECT * FROM journal WHERE order_id = ? ORDER BY id", (order_id,))
    return render_template("order.html", order=find(order_id), journal=steps.fetchall())


@app.route("/orders/new", methods=["GET", "POST"])
@login_required
def new_order():
    connection = database.connection()
    coffees = connection.execute("SELECT * FROM coffee ORDER BY name").fetchall()
    errors = {}
    if request.method == "POST":
        values, errors = read_order(request.form, {str(coffee["id"]) for coffee in coffees})
        if not errors:
            with connection:
                order_id = connection.execute(
                    "INSERT INTO orders (customer, coffee_id, kilos, due, note, changed_at)"
                    " VALUES (:customer, :coffee, :kilos, :due, :note, :changed_at)",
                    values | {"changed_at": database.now()},
                ).lastrowid
                journal(order_id)
            announce(order_id)
            flash(f"Order {order_id} is on the board.")
            return redirect(url_for("desk"))
    page = render_template("order_form.html", coffees=coffees, errors=errors, today=date.today().isoformat())
    return page, 422 if errors else 200


@app.post("/orders/<int:order_id>/status")
@login_required
def change_status(order_id):
    wanted = request.form.get("status")
    if wanted not in database.STATUSES[1:]:
        abort(400, "An order goes from open to packed to shipped.")
    before = database.STATUSES[database.STATUSES.index(wanted) - 1]
    connection = database.connection()
    with connection:
        moved = connection.execute(
            "UPDATE orders SET status = ?, changed_at = ? WHERE id = ? AND status = ?",
            (wanted, database.now(), order_id, before),
        ).rowcount
        if moved:
            journal(order_id)
    row = find(order_id)
    if moved:
        announce(order_id)
        flash(f"Order {order_id} is {wanted}.")
    else:
        flash(f"Order {order_id} was not {before} any more: it is {row['status']}.", "error")
    return redirect(inside(request.form.get("next")) or url_for("desk"))


def read_order(form, coffee_ids):
    """Read a new order from its form: the values to store, and what is wrong with each field."""
    values = {name: form.get(name, "").strip() for name in ("customer", "coffee", "kilos", "due", "note")}
    errors = {}
    if not 0 < len(values["customer"]) <= 60:
        errors["customer"] = "Who ordered? At most 60 characters."
    if values["coffee"] not in coffee_ids:
        errors["coffee"] = "Choose a coffee from the list."
    if not (values["kilos"].isascii() and values["kilos"].isdigit() and 1 <= int(values["kilos"][:9]) <= 500):
        errors["kilos"] = "A whole number from 1 to 500."
    try:
        if date.fromisoformat(values["due"]) < date.today():
            errors["due"] = "This day is over."
    except ValueError:
        errors["due"] = "A date, please: YYYY-MM-DD."
    if len(values["note"]) > 120:
        errors["note"] = "At most 120 characters."
    return values, errors


def find(order_id):
    row = database.connection().execute(database.ORDER_ROWS + "WHERE orders.id = ?", (order_id,)).fetchone()
    if row is None:
        abort(404, f"There is no order {order_id}.")
    return row


def journal(order_id):
    database.connection().execute(
        "INSERT INTO journal (order_id, at, user, status) SELECT id, changed_at, ?, status FROM orders WHERE id = ?",
        (g.user, order_id),
    )


def announce(order_id):
    """Let everybody see how an order stands now. To be called after the commit."""
    # cometware 5: publish from an ordinary view
    channel.publish(dict(find(order_id)), event="order")


# Pages


@app.template_filter("day")
def day(iso):
    moment = date.fromisoformat(iso)
    return f"{moment:%a} {moment.day} {moment:%b}"


@app.template_filter("euros")
def euros(cents):
    return f"€ {cents / 100:,.2f}"


@app.template_filter("hue")
def hue(name):
    """Choose a person's colour, the same one as the page's script."""
    return functools.reduce(lambda hash, letter: (hash * 31 + ord(letter)) % 360, name, 110)


@app.errorhandler(HTTPException)
def failed(error):
    response = error.get_response()
    response.data = render_template("error.html", error=error)
    response.content_type = "text/html; charset=utf-8"
    return response
