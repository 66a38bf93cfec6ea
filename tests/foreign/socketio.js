// One socket.io-client, steered by lines of JSON: reads commands, writes what happens.
// node socketio.js MODULE URL OPTIONS, where OPTIONS may have `namespaces`, `auths` (auth by namespace) and `acks` (events
// that are acknowledged with their own arguments). Bytes are {"$bytes": base64}.
"use strict";
const readline = require("readline");
const [, , module_, url, options_] = process.argv;
const io = require(module_);
const options = JSON.parse(options_);

const out = (value) => {
  if (Buffer.isBuffer(value)) return { $bytes: value.toString("base64") };
  if (value instanceof ArrayBuffer || ArrayBuffer.isView(value)) return { $bytes: Buffer.from(value).toString("base64") };
  if (Array.isArray(value)) return value.map(out);
  if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, out(v)]));
  return value === undefined ? null : value;
};
const back = (value) => {
  if (Array.isArray(value)) return value.map(back);
  if (value && typeof value === "object") {
    if ("$bytes" in value) return Buffer.from(value.$bytes, "base64");
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, back(v)]));
  }
  return value;
};
const tell = (line) => process.stdout.write(JSON.stringify(line) + "\n");

const sockets = {};
for (const namespace of options.namespaces || ["/"]) {
  const auth = (options.auths || {})[namespace];
  const socket = io(url + namespace, { reconnectionDelay: 50, reconnectionDelayMax: 100, randomizationFactor: 0, auth, ...options });
  sockets[namespace] = socket;
  socket.on("connect", () =>
    tell({ on: "connect", namespace, id: socket.id, recovered: !!socket.recovered, transport: socket.io.engine.transport.name }));
  socket.on("disconnect", (reason) => tell({ on: "disconnect", namespace, reason }));
  for (const name of ["connect_error", "error"])
    socket.on(name, (error) =>
      tell({ on: name, namespace, message: (error && error.message) || error, data: out((error && error.data) || null) }));
  const received = (name, args) => {
    const ack = typeof args[args.length - 1] === "function" ? args.pop() : null;
    if (ack && (options.acks || []).includes(name)) ack(...args);
    tell({ on: "event", namespace, name, args: out(args) });
  };
  if (socket.onAny) socket.onAny((name, ...args) => received(name, args));
  else {
    const known = new Set(["connect", "disconnect", "connect_error", "error", "connecting", "ping", "pong", "reconnect",
      "reconnecting", "reconnect_attempt", "reconnect_error", "reconnect_failed", "connect_timeout"]);
    const original = socket.onevent;
    socket.onevent = function (packet) {
      const args = (packet.data || []).slice();
      if (packet.id != null) args.push(this.ack(packet.id));
      const name = args.shift();
      if (known.has(name)) return original.call(this, packet);
      received(name, args);
    };
  }
  const watch = () => socket.io.engine.on("upgrade", () => tell({ on: "upgrade", namespace }));
  socket.io.on ? socket.io.on("open", watch) : watch();
}

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const { emit, namespace = "/", ack, timeout, close, drop } = JSON.parse(line);
  const socket = sockets[namespace];
  if (emit) {
    const args = back(emit);
    if (timeout !== undefined)
      socket.timeout(timeout).emit(...args, (error, ...answer) => tell({ on: "ack", ack, error: error && String(error), args: out(answer) }));
    else {
      if (ack !== undefined) args.push((...answer) => tell({ on: "ack", ack, args: out(answer) }));
      socket.emit(...args);
    }
  }
  if (close) socket.close();
  if (drop) socket.io.engine.close();
}).on("close", () => process.exit());
