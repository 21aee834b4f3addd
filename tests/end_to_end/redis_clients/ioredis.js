// ioredis: ioredis.js PORT
const assert = require("node:assert");
const { Redis } = require("ioredis");

async function main() {
  const client = new Redis(Number(process.argv[2]));
  assert.strictEqual(await client.ping(), "PONG");
  assert.strictEqual(client.status, "ready");
  const everyByte = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
  assert.deepStrictEqual(await client.echoBuffer(everyByte), everyByte);
  assert.strictEqual(await client.set("text", everyByte), "OK");
  assert.deepStrictEqual(await client.getBuffer("text"), everyByte);
  assert.strictEqual(await client.get("none"), null);
  assert.strictEqual(await client.incr("count"), 1);
  assert.strictEqual(await client.incrby("count", 41), 42);
  const pipeline = client.pipeline();
  for (let n = 0; n < 100; n++) pipeline.incr("count");
  const expected = Array.from({ length: 100 }, (_, n) => [null, n + 43]);
  assert.deepStrictEqual(await pipeline.exec(), expected);
  await assert.rejects(client.call("nonsense"), /^.*unknown command 'nonsense'$/);
  assert.strictEqual(await client.quit(), "OK");
  console.log(require("ioredis/package.json").version);
}

process.on("warning", (warning) => { throw warning; });
main();
