// One unmodified sockjs-client in Node: what it sees is a line of JSON each on standard output, and it does what each line
// of JSON on standard input says: {"send": text} or {"close": [code, reason]}.
"use strict";
const SockJS = require(process.argv[2]);
const [url, transport] = process.argv.slice(3);
const tell = (what) => process.stdout.write(JSON.stringify(what) + "\n");

// Its own patience is a multiple of one round trip: on a busy machine that is too little.
const socket = new SockJS(url, null, {timeout: 30000, ...(transport && {transports: [transport]})});
socket.onopen = () => tell({open: socket.transport});
socket.onmessage = (event) => tell({message: event.data});
socket.onclose = (event) => {
    tell({close: [event.code, event.reason]});
    process.stdin.destroy();
};
require("readline").createInterface({input: process.stdin}).on("line", (line) => {
    const asked = JSON.parse(line);
    if ("send" in asked) socket.send(asked.send);
    else socket.close(...asked.close);
});
