// One member of a consumer group with @confluentinc/kafka-javascript: one line of JSON an event, until SIGTERM.
//
// usage: member.js BOOTSTRAP GROUP TOPIC PROTOCOL NAME      what the events mean is said in tests/src/interop/member.rs

const { writeSync } = require("node:fs");
const { Kafka, ErrorCodes, logLevel } = require("@confluentinc/kafka-javascript").KafkaJS;

const [bootstrap, group, topic, protocol, name] = process.argv.slice(2);
// Written at once: what a killed process did must not be lost with its buffers.
const say = (event, rest = {}) => writeSync(1, JSON.stringify({ event, ...rest }) + "\n");

// Where to read on, of partitions that are ours. It is committed again and again, because commitOffsets resolves even when a
// rebalance refused it; for that reason there is no `committed` line either: the broker is asked instead.
const positions = new Map();

const config = {
  kafkaJS: { groupId: group, fromBeginning: true, autoCommit: false, logLevel: logLevel.NOTHING },
  "client.id": name,
  rebalance_cb: (error, assignment) => {
    const event = error.code === ErrorCodes.ERR__ASSIGN_PARTITIONS ? "assigned" : "revoked";
    if (event === "revoked") assignment.forEach((one) => positions.delete(one.partition));
    say(event, { partitions: assignment.map((one) => one.partition).sort() });
  },
};
if (protocol === "consumer") {
  // Timeouts and the assignor are the broker's in this protocol.
  config["group.protocol"] = "consumer";
} else {
  config["session.timeout.ms"] = 4000;
  config["heartbeat.interval.ms"] = 500;
  config["partition.assignment.strategy"] = protocol === "cooperative" ? "cooperative-sticky" : "range";
}

async function main() {
  const consumer = new Kafka({ kafkaJS: { brokers: bootstrap.split(","), logLevel: logLevel.NOTHING } }).consumer(config);
  let stopping = false;
  const commit = async () => {
    const offsets = [...positions].map(([partition, offset]) => ({ topic, partition, offset: String(offset) }));
    if (offsets.length > 0) await consumer.commitOffsets(offsets).catch((error) => say("retried", { error: String(error) }));
  };
  process.on("SIGTERM", async () => {
    stopping = true;
    await commit();
    await consumer.disconnect();
    say("closed");
    process.exit(0);
  });
  await consumer.connect();
  await consumer.subscribe({ topics: [topic] });
  await consumer.run({
    eachBatchAutoResolve: false,
    eachBatch: async ({ batch, resolveOffset, isStale }) => {
      for (const message of batch.messages) {
        if (stopping || isStale()) break;
        say("record", { partition: batch.partition, offset: Number(message.offset) });
        resolveOffset(message.offset);
        positions.set(batch.partition, Number(message.offset) + 1);
      }
    },
  });
  setInterval(commit, 200);
}

main().catch((error) => {
  say("failed", { error: String(error) });
  process.exit(1);
});
