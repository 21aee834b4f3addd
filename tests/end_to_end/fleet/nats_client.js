// A client of NATS services, by the library that describes the service protocol. Asks all services
// of this name, calls one endpoint, and prints each answer as lines of a path and a value, and a
// blank line: node nats_client.js URL NAME SUBJECT PAYLOAD HOSTS

const { Svcm } = require("@nats-io/services");
const { connect } = require("@nats-io/transport-node");

// Prints an answer; the endpoints are named by their names.
function show(answer, path = "") {
  if (Array.isArray(answer)) {
    answer = Object.fromEntries(answer.map((item) => [item.name, item]));
  }
  if (typeof answer === "object") {
    for (const [key, value] of Object.entries(answer)) show(value, path ? `${path}.${key}` : key);
    if (!path) console.log();
  } else {
    console.log(path, answer);
  }
}

async function main(servers, name, subject, payload, hosts) {
  const connection = await connect({ servers });
  // The default ends 300 ms after an answer, which is too early on a loaded machine.
  const all = { strategy: "count", maxMessages: Number(hosts), maxWait: 30000 };
  const services = new Svcm(connection).client(all);
  for await (const answer of await services.ping(name)) show(answer);
  const reply = await connection.request(subject, payload, { timeout: 30000 });
  show({ reply: reply.string() });
  for await (const answer of await services.info(name)) show(answer);
  for await (const answer of await services.stats(name)) show(answer);
  await connection.close();
}

main(...process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exit(1);
});
