"""The types of the browser client: TypeScript's own compiler takes what is right, refuses what is wrong; nothing is missing.

They are read as the channel serves them, so what a developer saves beside the code is what is checked.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from engines import tool

from cometware import assets

STATIC = Path(assets.__file__).parent / "static"
SERVED = ["client.js", "client.mjs", "client.d.ts", "client.d.mts"]
OPTIONS = {
    "strict": True, "noEmit": True, "target": "es2020", "module": "nodenext", "lib": ["es2020"], "types": [],
    "moduleDetection": "auto", "esModuleInterop": True, "noUncheckedIndexedAccess": True, "skipLibCheck": False,
}  # fmt: skip

CHAT = """
const comet = new Cometware("/comet", {transports: ["websocket", "poll"], last: 50, shared: false});
comet.on("open", (info) => { const id: string = info.client; const whole: boolean = info.recovered; })
  .on("transport", (name, why) => { if (name === null) why.length; else if (name === "shared") why.trim(); })
  .on("close", ({code, reason}) => { const text: string = code.toFixed() + reason; })
  .on("error", (problem) => { const code: string = problem.code; const status: unknown = problem.status; })
  .on("reset", (info) => info.reason.length)
  .on("message", (data) => data.text)
  .on("order", (order: {id: number}, position) => { comet.use("poll").use(); const at: string = position; });
const taken: true | undefined = comet.emit("rename", {name: "Ann"}, (error, reply) => { error?.code.length; reply; });
comet.send(new Uint8Array(3)); comet.send("hello", (error) => { if (error) error.message.length; });
comet.off("order"); comet.off("open", () => {});
const position: string = comet.position(), client: string | null = comet.client;
Cometware.times.retry = 100;
Cometware.times.upgrade = [100, 200];
const options: Cometware.Options = {after: position, credentials: true, remember: false, key: "k".repeat(22)};
function failed(problem: Cometware.Problem): void {}
comet.on("error", failed).close();
"""

CONSUMERS = {
    "a_module.mts": f'import Cometware from "./client.mjs";{CHAT}export {{}};',
    "a_default_import.cts": f'import Cometware from "./client.js";{CHAT}export {{}};',
    "a_require.cts": f'import Cometware = require("./client.js");{CHAT}export {{}};',
    "a_script_tag.ts": f'/// <reference path="client.d.ts" />\n{{{CHAT}}}',
}

WRONG = """
comet.on("close", (code: number) => {});
comet.on("open", (info) => info.nothing);
comet.on("transport", (name) => name.length);
comet.on("error", (problem: string) => {});
comet.on("order");
comet.emit("open", 1);
comet.emit("ping");
comet.send();
comet.use("shared");
comet.use("telnet");
comet.transport = "poll";
comet.connect();
new Cometware();
new Cometware("/comet", {transport: "poll"});
new Cometware("/comet", {transports: ["telnet"]});
new Cometware("/comet", {last: "50"});
Cometware.times.retries = 3;
Cometware.times.retry = "soon";
""".strip().splitlines()


IMPORT = 'import Cometware from "./client.mjs"; const comet = new Cometware("/comet");\n'


@pytest.fixture(scope="module")
def complaints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[int, str]]:
    """What the compiler, strict, says of the files beside the client's: by file and line. Its start is slow: once for all."""
    folder = tmp_path_factory.mktemp("types")
    files = CONSUMERS | {"wrong.mts": IMPORT + "\n".join(WRONG), "names.mts": IMPORT + "\n".join(names())}
    for name in SERVED:
        (folder / name).write_bytes(assets._assets()[name].body)
    for name, text in files.items():
        (folder / name).write_text(text, "utf-8")
    (folder / "tsconfig.json").write_text(json.dumps({"compilerOptions": OPTIONS, "files": [*files, *SERVED[2:]]}))
    compiler = tool("typescript/node_modules/typescript/lib/tsc.js")
    done = subprocess.run(["node", compiler, "--pretty", "false"], cwd=folder, capture_output=True, text=True, timeout=300)
    found: dict[str, dict[int, str]] = {}
    for line in done.stdout.splitlines():
        if not line.startswith(" "):  # the rest of a longer complaint
            place = re.match(r"([\w.]+)\((\d+),\d+\): ", line)
            assert place, line
            found.setdefault(place[1], {})[int(place[2]) - 2] = line
    return found


def names() -> list[str]:
    """Lines that compile only if the types name all that the client has, by its own word or its source, and nothing else."""
    script = """
        const Cometware = require("./cometware.js"), names = Object.keys;
        console.log(JSON.stringify({
            "keyof Cometware": names(new Cometware("http://127.0.0.1:9/")), "keyof Cometware.Times": names(Cometware.times),
            "Cometware.TransportName": names(Cometware.transports),
            "Exclude<keyof typeof Cometware, 'prototype'>": names(Cometware),
        }));
        process.exit();
    """
    done = subprocess.run(["node", "-e", script], cwd=STATIC, capture_output=True, text=True, check=True, timeout=240)
    source = (STATIC / "cometware.js").read_text("utf-8")
    known = json.loads(done.stdout) | {
        "keyof Cometware.Options": re.findall(r"\boptions\.(\w+)", source),
        "keyof Cometware.Events": re.findall(r"\bfire\('(\w+)'", source),
    }
    assert all(known.values())
    return [
        f"const all{number}: Record<{kind}, 0> = {json.dumps(dict.fromkeys(of, 0))};"
        for number, (kind, of) in enumerate(known.items())
    ]


@pytest.mark.parametrize("name", [*CONSUMERS, *SERVED[2:]])
def test_it_compiles_in(name: str, complaints: dict[str, dict[int, str]]) -> None:
    assert complaints.get(name, {}) == {}


def test_each_wrong_use_is_refused(complaints: dict[str, dict[int, str]]) -> None:
    assert [line for number, line in enumerate(WRONG) if number not in complaints["wrong.mts"]] == []


def test_the_types_name_all_that_the_client_has_and_nothing_else(complaints: dict[str, dict[int, str]]) -> None:
    assert complaints.get("names.mts", {}) == {}
