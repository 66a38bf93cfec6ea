// The peers of `first_message.py`: socket.io and sockjs with their own servers, each saying hello to whoever comes.
// Usage: node first_message_peers.js FOLDER_OF_NODE_MODULES; says where it listens.
const modules = process.argv[2];
const from = (name) => require(require.resolve(name, { paths: [modules] }));
const fs = require("fs");
const path = require("path");

const files = {
  "/socket.io.js": path.join(modules, "node_modules/socket.io/client-dist/socket.io.min.js"),
  "/sockjs.js": path.join(modules, "node_modules/sockjs-client/dist/sockjs.min.js"),
};
const server = require("http").createServer((request, response) => {
  const name = request.url.split("?")[0];
  if (files[name]) {
    response.setHeader("Content-Type", "text/javascript");
    response.setHeader("Cache-Control", "public, max-age=31536000, immutable");
    response.end(fs.readFileSync(files[name]));
  } else if (name === "/page") {
    response.setHeader("Content-Type", "text/html");
    response.end(new URL(request.url, "http://localhost").searchParams.get("html"));
  } else if (!name.startsWith("/socket.io/") && !name.startsWith("/sockjs/")) {
    response.statusCode = 404;
    response.end();
  }
});
const io = new (from("socket.io").Server)(server, { cors: { origin: true, credentials: true } });
io.on("connection", (socket) => socket.emit("message", "hello"));
const echo = from("sockjs").createServer({ log() {} });
echo.on("connection", (connection) => connection && connection.write("hello"));
echo.installHandlers(server, { prefix: "/sockjs" });
server.listen(0, "127.0.0.1", () => console.log(`peers on http://127.0.0.1:${server.address().port}`));
