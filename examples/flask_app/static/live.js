// The channel by hand: what a page needs to follow it with nothing but the browser's own WebSocket, EventSource
// and fetch. One key says who we are, one position says where we are; so a change of transport is nothing but a
// second reader at the same position, and whatever it repeats is dropped here.
//
//   const live = connect(onEntry, onTransport, "/comet")
//     onEntry({id, event, data})        each entry once, in order
//     onTransport(name, state)          "websocket" | "eventsource" | "poll", "connecting" | "open" | "closed"
//   live.send(data)  live.use("poll")  live.close()  live.client (our id, once we are connected)

const ORDER = ["websocket", "eventsource", "poll"]; // each falls back to the next
const OPEN_SECONDS = 6; // a transport that has said nothing for so long does not work here
const HISTORY = 50;

export function connect(onEntry, onTransport, url) {
  const key = newKey();
  const waiting = []; // messages not yet acknowledged; the first has the number accepted + 1
  let accepted = 0;
  let position = null; // "epoch-offset"
  let current = null; // the connection that carries us
  let coming = null; // the one that is to replace it
  let posting = false;
  let failures = 0;
  let timer = null;
  let ended = false;

  const live = { client: null, send, use, close };
  use(ORDER[0]);
  addEventListener("pagehide", leave);
  addEventListener("pageshow", (event) => event.persisted && use(ORDER[0]));
  return live;

  function use(name) {
    if (ended) return;
    clearTimeout(timer);
    if (coming) coming.stop();
    const connection = { name, isOpen: false, sent: 0, acceptedBefore: accepted };
    coming = connection;
    if (!current) onTransport(name, "connecting");
    connection.giveUp = setTimeout(() => lost(connection), OPEN_SECONDS * 1000);
    const stop = TRANSPORTS[name]({
      key,
      url,
      address: (parameters) => address(url, { ...parameters, last: HISTORY, ...(position && { after: position }) }),
      hear: (shape) => hear(connection, shape),
      opened: () => opened(connection),
      lost: (forever) => lost(connection, forever),
    }, connection);
    connection.stop = () => {
      clearTimeout(connection.giveUp);
      connection.stopped = true;
      stop();
    };
  }

  function opened(connection) {
    if (connection.stopped || connection.isOpen) return;
    clearTimeout(connection.giveUp);
    connection.isOpen = true;
    failures = 0;
    if (connection === coming) {
      if (current) current.stop();
      current = connection;
      coming = null;
    }
    onTransport(connection.name, "open");
    flush();
  }

  function lost(connection, forever) {
    if (connection.stopped) return;
    connection.stop();
    if (connection === current) current = null;
    if (connection === coming) coming = null;
    if (forever) return end(connection.name);
    if (current || coming) return; // somebody else carries us
    const next = connection.isOpen ? connection.name : ORDER[(ORDER.indexOf(connection.name) + 1) % ORDER.length];
    onTransport(next, "connecting");
    failures += 1;
    const seconds = failures < ORDER.length ? 0.1 : Math.min(15, 2 ** (failures - ORDER.length)) * (0.5 + Math.random());
    timer = setTimeout(() => use(next), seconds * 1000);
  }

  function hear(connection, shape) {
    if (connection.stopped) return;
    if (shape.open) {
      live.client = shape.open.client;
      // Nothing that was acknowledged before this connection began can be unknown to it, unless it was forgotten.
      if (shape.open.accepted < connection.acceptedBefore) accepted = shape.open.accepted;
      else acknowledge(shape.open.accepted);
      move(shape.open.position);
      opened(connection);
    } else if ("event" in shape) {
      if (move(shape.id)) onEntry(shape);
    } else if ("accepted" in shape) {
      acknowledge(shape.accepted);
    } else if (shape.ping) {
      move(shape.ping);
    } else if (shape.error && shape.error.code === "number") {
      accepted = shape.error.accepted;
      connection.sent = 0;
      flush();
    } else if (shape.reconnect) {
      timer = setTimeout(() => use(connection.name), shape.reconnect.wait_seconds * 1000);
    } else if (shape.close) {
      // (A reset needs nothing here: what was in between is gone, and what follows moves us on.)
      lost(connection, shape.close.code >= 4400 && shape.close.code < 4500);
    }
  }

  // Remember how far we are; false if we were there already.
  function move(to) {
    if (position && epoch(position) === epoch(to) && offset(to) <= offset(position)) return false;
    position = to;
    return true;
  }

  function send(data) {
    waiting.push({ event: "message", data });
    flush();
  }

  function acknowledge(n) {
    if (n <= accepted) return;
    const settled = waiting.splice(0, n - accepted).length;
    if (current) current.sent = Math.max(0, current.sent - settled);
    accepted = n;
  }

  function flush() {
    if (!current) return;
    if (current.write) {
      while (current.sent < waiting.length) current.write(numbered()[current.sent++]);
    } else {
      post();
    }
  }

  function numbered() {
    return waiting.map((message, index) => ({ n: accepted + 1 + index, ...message }));
  }

  async function post() {
    if (posting || !waiting.length) return;
    posting = true;
    let wait = 0;
    try {
      const response = await fetch(url, {
        method: "POST",
        headers: { "Content-Type": "application/json", "Comet-Key": key },
        body: JSON.stringify(numbered()),
      });
      const shape = await response.json();
      if (response.ok) acknowledge(shape.accepted);
      else if (shape.error && shape.error.code === "number") accepted = shape.error.accepted;
      else waiting.shift(); // refused: sending it again would change nothing
    } catch (_noAnswer) {
      wait = 2000;
    }
    posting = false;
    setTimeout(flush, wait);
  }

  // Say goodbye, so that nobody has to wait to see whether we come back.
  function leave() {
    const headers = { "Content-Type": "application/json", "Comet-Key": key };
    fetch(url, { method: "POST", keepalive: true, headers, body: '{"close": {}}' }).catch(() => {});
    stop();
  }

  function close() {
    ended = true;
    leave();
  }

  function end(name) {
    ended = true;
    stop();
    onTransport(name, "closed");
  }

  function stop() {
    clearTimeout(timer);
    for (const connection of [current, coming]) if (connection) connection.stop();
    current = coming = null;
  }
}

// Each transport takes what it needs of the channel, starts to listen, and returns how to stop it.
const TRANSPORTS = {
  websocket(channel, connection) {
    let socket;
    try {
      const where = new URL(channel.address({}), location.href);
      where.protocol = where.protocol.replace("http", "ws");
      socket = new WebSocket(where.href, ["cometware.v1", "key." + channel.key]);
    } catch (_noWebSocket) {
      setTimeout(channel.lost);
      return () => {};
    }
    connection.write = (message) => socket.send(JSON.stringify(message));
    socket.onmessage = (event) => channel.hear(JSON.parse(event.data));
    socket.onclose = (event) => channel.lost(event.code >= 4400 && event.code < 4500);
    return () => socket.close();
  },

  eventsource(channel) {
    const source = new EventSource(channel.address({ v: 1, key: channel.key }));
    source.onmessage = (event) => channel.hear(JSON.parse(event.data));
    source.onerror = () => channel.lost(false); // we come back ourselves, with our own position
    return () => source.close();
  },

  poll(channel) {
    const abort = new AbortController();
    listen();
    return () => abort.abort();

    async function listen() {
      let next = channel.address({ transport: "poll", wait: 0 }); // the first is answered at once: it works
      try {
        while (!abort.signal.aborted) {
          const response = await fetch(next, {
            headers: { "Comet-Key": channel.key },
            signal: abort.signal,
            cache: "no-store",
          });
          if (!response.ok) throw new Error(response.statusText);
          for (const shape of await response.json()) channel.hear(shape);
          channel.opened();
          const link = new URLSearchParams(/<[^?>]*\?([^>]*)>/.exec(response.headers.get("Link"))[1]);
          link.delete("wait");
          next = channel.url + "?" + link;
        }
      } catch (_broken) {
        channel.lost(false);
      }
    }
  },
};

function address(url, parameters) {
  return url + "?" + new URLSearchParams(parameters);
}

function epoch(position) {
  return position.slice(0, position.lastIndexOf("-"));
}

function offset(position) {
  return Number(position.slice(position.lastIndexOf("-") + 1));
}

function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(18));
  return btoa(String.fromCharCode(...bytes)).replace(/\+/g, "-").replace(/\//g, "_");
}
