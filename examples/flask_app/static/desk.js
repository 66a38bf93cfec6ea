// The live desk: the order board, the chat and who is here, drawn from the channel's entries.

const NAMES = {
  websocket: "WebSocket",
  stream: "a stream",
  xhr: "a stream by XHR",
  eventsource: "SSE",
  poll: "long poll",
  jsonp: "JSONP",
};
const REASONS = {
  start: "the first that answered",
  upgrade: "better than the one before",
  "by hand": "chosen by hand",
  buffered: "streams are held back on the way",
  hidden: "slowly, while nobody looks",
  shown: "the page is in sight again",
};
const AWAY = { offline: "this device is offline", silent: "nothing has come for too long" };
const ENDS = { 4401: "you are logged out", 4403: "you are not allowed here", 4410: "you are logged out" };
const NEXT = { open: ["packed", "Pack"], packed: ["shipped", "Ship"] };
const SHIPPED_SHOWN = 6;
const TOGETHER_MILLISECONDS = 3 * 60 * 1000; // what one person says within so long stands under one name

const find = (id) => document.getElementById(id);
const desk = find("desk");
const me = desk.dataset.user;

// Not one connection for all tabs: here each tab has its own, to be switched by hand.
const comet = new window.Cometware(desk.dataset.url, { last: 200, shared: false });
comet.on("message", showMessage);
comet.on("order", showOrder);
comet.on("presence", showPeople);
comet.on("transport", showTransport);
comet.on("reset", () => location.reload()); // the server has forgotten what we missed: draw everything anew
comet.on("close", ({ code, reason }) => showState("closed", "Disconnected", ENDS[code] || reason || "the server has ended it"));
comet.on("error", ({ message }) => find("flashes").replaceChildren(element("p", "flash error", message)));

// The board

const board = find("board");

function showOrder(order) {
  const old = board.querySelector(`[data-id="${Number(order.id)}"]`);
  if (order.changed_at <= (old || board).dataset[old ? "changedAt" : "asOf"]) return; // we know that already
  const list = board.querySelector(`[data-status="${order.status}"]`);
  if (!list) return;
  const hadFocus = old && old.contains(document.activeElement);
  if (old) old.remove();
  const card = drawOrder(order);
  const later = (other) => order.status === "shipped" || other.dataset.due > order.due;
  list.insertBefore(card, [...list.children].find(later) || null);
  if (order.status === "shipped") while (list.children.length > SHIPPED_SHOWN) list.lastElementChild.remove();
  for (const count of board.querySelectorAll(".count")) {
    count.textContent = count.closest(".column").querySelectorAll(".card").length;
  }
  if (hadFocus) card.focus();
  card.classList.add("changed");
  find("news").textContent = `Order ${order.id}, ${order.customer}, is ${order.status}.`;
}

function drawOrder(order) {
  const card = find("card").content.firstElementChild.cloneNode(true);
  const set = (selector, text) => (card.querySelector(selector).textContent = text);
  Object.assign(card.dataset, { id: order.id, due: order.due, changedAt: order.changed_at });
  const link = card.querySelector(".no");
  const base = link.getAttribute("href").replace(/\d+$/, "") + order.id;
  link.href = base;
  set(".no", order.id);
  set(".due", dayOf(order.due));
  set(".customer", order.customer);
  set(".coffee b", `${order.kilos} kg`);
  set(".coffee span", order.coffee);
  set(".note", order.note);
  const form = card.querySelector("form");
  if (form && !NEXT[order.status]) form.remove();
  else if (form) {
    const [wanted, verb] = NEXT[order.status];
    form.action = base + "/status";
    form.elements.status.value = wanted;
    set(".step", verb);
    card.querySelector(".step").setAttribute("aria-label", `Mark order ${order.id} as ${wanted}`);
  }
  return card;
}

function dayOf(date) {
  const day = new Date(date + "T12:00");
  const part = (options) => day.toLocaleDateString("en-GB", options);
  return `${part({ weekday: "short" })} ${day.getDate()} ${part({ month: "short" })}`;
}

// An ordinary form, sent without leaving the page: what it changes comes back to everybody through the channel.
board.addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  const button = form.querySelector("button");
  button.disabled = true;
  try {
    const response = await fetch(form.action, { method: "POST", body: new FormData(form) });
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const answer = page.querySelector(".flash.error, .sheet");
    find("flashes").replaceChildren();
    if (answer && answer.matches(".flash")) find("flashes").append(answer);
    else if (answer) location.reload(); // logged out meanwhile, or an error page
  } catch (_offline) {
    form.submit();
  }
  button.disabled = false;
});

// The chat

const log = find("log");
let previous = {};

function showMessage(message) {
  if (typeof message === "string") message = { from: "guest", text: message };
  const { from, text, at } = message;
  const mine = message.client === comet.client || (me && from === me);
  const moment = at ? new Date(at) : new Date();
  const follows = previous.from === from && previous.mine === mine && moment - previous.moment < TOGETHER_MILLISECONDS;
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 60;
  if (find("silence")) find("silence").remove();

  const line = element("article", `message${mine ? " mine" : ""}${follows ? " follows" : ""}`);
  if (!follows) {
    const head = element("header");
    const time = element("time", "", moment.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" }));
    time.dateTime = moment.toISOString();
    head.append(face(from), element("b", "", from), time);
    line.append(head);
  }
  line.append(element("p", "bubble", text));
  log.append(line);
  if (atEnd || mine) log.scrollTop = log.scrollHeight;
  previous = { from, mine, moment };
}

find("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  const input = find("text");
  if (input.value.trim()) comet.send(input.value.trim());
  input.value = "";
  input.focus();
});

// Who is here, and by what

function showPeople({ names, more, guests }) {
  const chips = names.map((name) => {
    const chip = element("li", "person", name);
    chip.prepend(face(name));
    return chip;
  });
  if (more) chips.push(element("li", "person", `${more} more`));
  if (guests) chips.push(element("li", "person guests", guests === 1 ? "1 guest" : `${guests} guests`));
  find("people").replaceChildren(...chips);
}

function showTransport(name, why) {
  if (name) showState("open", `Live over ${NAMES[name] || name}`, REASONS[why] || "back again");
  else showState("connecting", "Reconnecting", AWAY[why] || "the connection broke");
  for (const label of find("switch").querySelectorAll("label")) {
    label.classList.toggle("serving", label.control.value === name);
  }
}

function showState(state, text, why) {
  const badge = find("badge");
  badge.dataset.state = state;
  badge.replaceChildren(text, element("small", "", why));
}

find("switch").addEventListener("change", (event) => comet.use(event.target.value || undefined));

function face(name) {
  const face = element("span", "face", name === "guest" ? "" : name[0]);
  face.setAttribute("aria-hidden", "true");
  face.style.setProperty("--hue", [...name].reduce((hash, letter) => (hash * 31 + letter.codePointAt(0)) % 360, 110));
  if (name === "guest") face.classList.add("nobody");
  return face;
}

function element(tag, className = "", text = "") {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.textContent = text;
  return made;
}
