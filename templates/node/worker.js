#!/usr/bin/env node
// {{project-name}}: a Dropin plugin.
"use strict";

const readline = require("node:readline");

// Each command has a usage line, one sentence of help and a function of the arguments. The host
// checks the number of arguments against the usage line: `[WHO]` may be left out, `NUMBER..` is one
// or more. What it throws is an error for the caller. It may be async: up to 8 calls run at once.
const commands = {
  "{{project-name}}.hello": {
    usage: "[WHO]",
    help: "A greeting.",
    run([who = "you"], { session }) {
      log("info", `${session?.peer} says hello`);
      if (who === "") throw new Error("WHO must not be empty");
      return `hello, ${who}`;
    },
  },
  "{{project-name}}.mean": {
    usage: "NUMBER..",
    help: "The mean of the numbers.",
    run(args) {
      const numbers = args.map((arg) => (arg === "" ? NaN : Number(arg)));
      if (numbers.some(Number.isNaN)) throw new Error("value is not a valid float");
      return numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
    },
  },
};

// The protocol, see docs/workers.md in Dropin. Standard output belongs to it; console.log and
// console.error go into the host's log.
console.log = console.info = console.error;
const send = (message) => process.stdout.write(JSON.stringify(message) + "\n");
const log = (level, text) => send({ log: level, text });

const hello = {
  dropin: 1,
  name: "{{project-name}}",
  version: "0.1.0",
  concurrency: 8,
  commands: Object.entries(commands).map(([name, { usage, help }]) => ({ name, usage, help })),
};

// The AbortController of each call that runs, by its id. A function finds its signal in the second
// argument.
const running = new Map();

async function serve(request) {
  const { id, call, args = [], session } = request;
  const controller = new AbortController();
  running.set(id, controller);
  try {
    const command = commands[call];
    if (!command) throw new Error(`unknown command '${call}'`);
    const words = args.map((arg) => arg.base64 ? Buffer.from(arg.base64, "base64") : arg);
    const reply = await command.run(words, { id, session, signal: controller.signal });
    if (Buffer.isBuffer(reply)) send({ id, bytes: reply.toString("base64") });
    else send({ id, ok: reply ?? null });
  } catch (error) {
    const kind = error.name === "AbortError" ? "CANCELLED" : "ERR";
    send({ id, error: String(error.message ?? error), kind });
  }
  running.delete(id);
}

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  let message;
  try {
    message = JSON.parse(line);
  } catch {
    return;
  }
  if (typeof message !== "object" || message === null) return;
  if ("id" in message) serve(message);
  else if ("cancel" in message) running.get(message.cancel)?.abort();
  else if ("dropin" in message) send(hello);
});
