// node-redis: node_redis.js PORT
const assert = require("node:assert");
const redis = require("redis");

async function main() {
  const client = redis.createClient({ url: `redis://127.0.0.1:${process.argv[2]}` });
  client.on("error", (error) => { throw error; });
  await client.connect();
  assert.strictEqual(await client.ping(), "PONG");
  const text = "line\r\n$1\r\n\u0000 \u00e9 \u{1f980}";
  assert.strictEqual(await client.echo(text), text);
  assert.strictEqual(await client.set("text", text), "OK");
  assert.strictEqual(await client.get("text"), text);
  assert.strictEqual(await client.get("none"), null);
  assert.strictEqual(await client.incr("count"), 1);
  assert.strictEqual(await client.incrBy("count", 41), 42);
  const pipeline = client.multi();
  for (let n = 0; n < 100; n++) pipeline.incr("count");
  const expected = Array.from({ length: 100 }, (_, n) => n + 43);
  assert.deepStrictEqual(await pipeline.execAsPipeline(), expected);
  assert.match(await client.info(), /^loading:0\r$/m);
  await assert.rejects(client.sendCommand(["nonsense"]), /^.*unknown command 'nonsense'$/);
  await client.close();
  console.log(require("redis/package.json").version);
}

process.on("warning", (warning) => { throw warning; });
main();
