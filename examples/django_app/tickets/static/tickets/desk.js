// The live pages, the queue and a ticket, drawn from the channel's entries.

const NAMES = {
  websocket: "WebSocket",
  stream: "a stream",
  xhr: "a stream by XHR",
  eventsource: "EventSource",
  poll: "long poll",
  jsonp: "JSONP",
  short: "polls",
};
const URGENCIES = { 1: "Whenever", 2: "Today", 3: "Now" };
const STATES = { waiting: "Waiting", taken: "In hand", solved: "Solved" };
const SOLVED_SHOWN = 5;
const WRITING_MILLISECONDS = 3000;

const find = (id) => document.getElementById(id);
const page = find("queue") || find("ticket");
const queue = find("queue");

// From the position at which the page was made: what happened since then comes at once. Each tab is a client of its own,
// since it hears the ticket that it shows.
const comet = new window.Cometware(page.dataset.url, { after: page.dataset.after, shared: false });
comet.on("transport", (name) => showState(name ? "open" : "connecting", name && `Live over ${NAMES[name] || name}`));
comet.on("close", showEnd);
comet.on("reset", () => location.reload()); // the server has forgotten what we missed: draw everything anew
comet.on("announcement", ({ text }) => {
  find("announcement").textContent = text;
  find("announcement").hidden = false;
});
showTimes();
setInterval(showTimes, 20000);

function showState(state, text) {
  find("badge").dataset.state = state;
  find("badge").textContent = text || "Reconnecting";
}

function showEnd({ code, reason }) {
  showState("closed", code === 4410 || code === 4401 ? "Logged out" : `Ended: ${reason}`);
  document.body.classList.add("over");
  flash("You are logged out. What you see here does not change any more. ", "error").append(
    Object.assign(element("a", "", "Log in"), { href: location.href }),
  );
}

// The queue

if (queue) {
  comet.on("ticket", showTicket);
  comet.on("people", (names) => find("people").replaceChildren(...names.map((name) => element("li", "person", name))));
  queue.addEventListener("submit", (event) => {
    event.preventDefault();
    takeTicket(event.target);
  });
}

function takeTicket(form) {
  const id = Number(form.closest(".card").dataset.id);
  const button = form.querySelector("button");
  button.disabled = true;
  comet.emit("take", id, (error, reply) => {
    button.disabled = false;
    if (error) flash(`Ticket ${id}: ${error.message}`, "error");
    else if (!reply.taken) flash(`Somebody was faster: ticket ${id} is not waiting any more.`, "error");
  });
}

function showTicket(ticket) {
  const old = queue.querySelector(`[data-id="${Number(ticket.id)}"]`);
  if (old && new Date(old.dataset.changedAt) >= new Date(ticket.changed_at)) return; // we know that already
  const list = queue.querySelector(`[data-status="${ticket.status}"]`);
  if (!list) return;
  if (old) old.remove();
  const card = drawCard(ticket);
  const later = (other) =>
    ticket.status === "solved" ||
    Number(other.dataset.urgency) < ticket.urgency ||
    (Number(other.dataset.urgency) === ticket.urgency && new Date(other.dataset.openedAt) > new Date(ticket.opened_at));
  list.insertBefore(card, [...list.children].find(later) || null);
  if (ticket.status === "solved") while (list.children.length > SOLVED_SHOWN) list.lastElementChild.remove();
  for (const count of queue.querySelectorAll(".count")) {
    count.textContent = count.closest(".section").querySelectorAll(".card").length;
  }
  card.classList.add("changed");
  find("news").textContent = `Ticket ${ticket.id}, ${ticket.subject}: ${STATES[ticket.status]}.`;
}

function drawCard(ticket) {
  const card = find("card").content.firstElementChild.cloneNode(true);
  const set = (selector, text) => (card.querySelector(selector).textContent = text);
  Object.assign(card.dataset, {
    id: ticket.id,
    urgency: ticket.urgency,
    openedAt: ticket.opened_at,
    changedAt: ticket.changed_at,
  });
  const here = (url) => url.replace("/0/", `/${ticket.id}/`);
  card.querySelector(".subject").href = here(card.querySelector(".subject").getAttribute("href"));
  set(".subject", ticket.subject);
  set(".urgency", URGENCIES[ticket.urgency]);
  set(".place", ticket.place);
  set(".asked-by", ticket.asked_by);
  set(".agent", ticket.agent || "");
  card.querySelector("time").dateTime = ticket.opened_at;
  showTime(card.querySelector("time"));
  const form = card.querySelector(".take");
  if (form) {
    form.action = here(form.getAttribute("action"));
    form.hidden = ticket.status !== "waiting";
  }
  return card;
}

// One ticket

if (!queue) {
  const id = Number(page.dataset.id);
  const text = find("id_text");
  let said = 0;
  let silence;
  comet.on("open", () => comet.emit("watch", id));
  comet.on("note", showNote);
  comet.on("ticket", (ticket) => ticket.id === id && showStatus(ticket));
  comet.on("writing", ({ user }) => {
    find("writing").textContent = `${user} is writing …`;
    clearTimeout(silence);
    silence = setTimeout(() => (find("writing").textContent = ""), WRITING_MILLISECONDS);
  });
  text.addEventListener("input", () => {
    if (Date.now() - said < WRITING_MILLISECONDS / 2) return;
    said = Date.now();
    comet.emit("writing", id);
  });
  // An ordinary form, sent without leaving the page: the note comes back to everybody through the channel.
  find("note").addEventListener("submit", async (event) => {
    event.preventDefault();
    const form = event.target;
    try {
      const response = await fetch(form.action, { method: "POST", body: new FormData(form), redirect: "manual" });
      if (response.type !== "opaqueredirect") return location.reload(); // an error page
      form.reset();
    } catch (_offline) {
      flash("This note did not get through. Try again.", "error");
    }
  });
}

function showNote(note) {
  if (find("notes").querySelector(`[data-id="${Number(note.id)}"]`)) return;
  const line = element("li", "changed");
  line.dataset.id = note.id;
  const time = element("time");
  time.dateTime = note.written_at;
  showTime(time);
  line.append(element("b", "", note.author), " ", time, element("p", "", note.text));
  find("notes").append(line);
  find("writing").textContent = "";
}

function showStatus(ticket) {
  find("state").textContent = STATES[ticket.status] + (ticket.agent ? `: ${ticket.agent}` : "");
  page.dataset.status = ticket.status;
  for (const form of page.querySelectorAll("[data-when]")) form.hidden = form.dataset.when !== ticket.status;
}

// Words

function showTimes() {
  document.querySelectorAll("time[datetime]").forEach(showTime);
}

function showTime(time) {
  const minutes = Math.max(0, Math.floor((Date.now() - new Date(time.dateTime)) / 60000));
  const [size, unit] = minutes < 60 ? [1, "min"] : minutes < 48 * 60 ? [60, "h"] : [24 * 60, "days"];
  time.textContent = minutes ? `${Math.floor(minutes / size)} ${unit} ago` : "just now";
}

function flash(text, kind = "") {
  const line = element("p", `flash ${kind}`, text);
  find("flashes").replaceChildren(line);
  return line;
}

function element(tag, className = "", text = "") {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.textContent = text;
  return made;
}
