// Calls the commands without a host: `node --test` in this folder.
"use strict";

const assert = require("node:assert");
const { spawnSync } = require("node:child_process");
const path = require("node:path");
const test = require("node:test");

// Returns the reply to one call: its `ok` or its `error`.
function call(command, ...args) {
  const input = JSON.stringify({ id: 1, call: command, args }) + "\n";
  const { stdout } = spawnSync(process.execPath, [path.join(__dirname, "worker.js")], { input });
  const replies = stdout.toString().trim().split("\n").map((line) => JSON.parse(line));
  return replies.find((reply) => reply.id === 1);
}

test("it greets", () => {
  assert.equal(call("{{project-name}}.hello").ok, "hello, you");
  assert.equal(call("{{project-name}}.hello", "Ada").ok, "hello, Ada");
  assert.ok(call("{{project-name}}.hello", "").error);
});

test("it takes the mean", () => {
  assert.equal(call("{{project-name}}.mean", "1", "2", "4.5").ok, 2.5);
  assert.ok(call("{{project-name}}.mean", "1", "two").error);
});
