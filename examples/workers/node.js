#!/usr/bin/env node
// A worker for Node.js, without a package.
"use strict";

const readline = require("node:readline");
const { setTimeout: sleep } = require("node:timers/promises");

const hello = {
  dropin: 1,
  name: "node",
  version: "1.0",
  concurrency: 8,
  features: ["state"],
  commands: [
    { name: "node.greet", usage: "[WHO]", help: "A greeting." },
    { name: "node.add", usage: "A B", help: "The sum of two integers." },
    { name: "node.count", usage: "", help: "How often it was called.", writes: true },
    { name: "node.slow", usage: "SECONDS", help: "Takes its time; can be cancelled." },
  ],
};

let count = 0;
const running = new Map(); // The AbortController of each call that runs, by its id.

// Standard output belongs to the protocol; console.error goes into the host's log.
console.log = console.info = console.error;
const send = (message) => process.stdout.write(JSON.stringify(message) + "\n");

function text(arg) {
  if (typeof arg !== "string") throw new Error("argument is not valid UTF-8");
  return arg;
}

function integer(arg) {
  const number = /^-?[0-9]+$/.test(text(arg)) ? Number(arg) : NaN;
  if (!Number.isSafeInteger(number)) throw new Error("value is not an integer or out of range");
  return number;
}

function float(arg) {
  const number = Number(text(arg).trim() || NaN);
  if (!Number.isFinite(number)) throw new Error("value is not a valid float");
  return number;
}

const commands = {
  "node.greet": ([who = "world"]) => `hello, ${text(who)}`,
  "node.add": ([a, b]) => integer(a) + integer(b),
  "node.count": () => ++count,
  "node.slow": async ([arg], id, signal) => {
    const seconds = float(arg);
    for (let step = 1; step <= 10; step++) {
      await sleep(seconds * 100, undefined, { signal });
      send({ id, progress: [step, 10] });
    }
    return "done";
  },
};

async function answer(request, signal) {
  if ("save" in request) return count;
  if ("restore" in request) {
    if (!Number.isInteger(request.restore)) throw new Error("the state is no integer");
    count = request.restore;
    return null;
  }
  if (!("call" in request)) throw new Error("unknown request");
  const command = commands[request.call];
  if (!command) throw new Error(`unknown command '${request.call}'`);
  return command(request.args ?? [], request.id, signal);
}

async function serve(request) {
  const { id } = request;
  const controller = new AbortController();
  running.set(id, controller);
  try {
    send({ id, ok: await answer(request, controller.signal) });
  } catch (error) {
    if (error.name === "AbortError") {
      send({ id, error: "the command was cancelled", kind: "CANCELLED" });
    } else {
      send({ id, error: error.message });
    }
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
// At the end of the input Node waits for the timers, and so for the calls that run.
