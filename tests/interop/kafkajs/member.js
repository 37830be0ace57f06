// One member of a consumer group with kafkajs: one line of JSON an event, until SIGTERM.
//
// usage: member.js BOOTSTRAP GROUP TOPIC PROTOCOL NAME      what the events mean is said in tests/src/interop/member.rs

const { writeSync } = require("node:fs");
const { Kafka, KafkaJSConnectionError, logLevel } = require("kafkajs");

const [bootstrap, group, topic, , name] = process.argv.slice(2);
// Written at once: what a killed process did must not be lost with its buffers.
const say = (event, rest = {}) => writeSync(1, JSON.stringify({ event, ...rest }) + "\n");

let owned = [];
function revoke() {
  if (owned.length > 0) say("revoked", { partitions: owned });
  owned = [];
}

async function main() {
  const kafka = new Kafka({ brokers: bootstrap.split(","), clientId: name, logLevel: logLevel.NOTHING });
  const consumer = kafka.consumer({ groupId: group, sessionTimeout: 4000, heartbeatInterval: 500, rebalanceTimeout: 10000, maxWaitTimeInMs: 200 });
  consumer.on(consumer.events.REBALANCING, revoke);
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    revoke();
    owned = payload.memberAssignment[topic] ?? [];
    say("assigned", { partitions: owned });
  });
  const isLost = (error) => error instanceof KafkaJSConnectionError || error.cause instanceof KafkaJSConnectionError;
  const tell = (error) => say(isLost(error) ? "disconnected" : "failed", { error: String(error) });
  consumer.on(consumer.events.CRASH, ({ payload }) => tell(payload.error));
  let stopping = false;
  process.on("SIGTERM", async () => {
    stopping = true;
    await consumer.disconnect();
    revoke();
    say("closed");
    process.exit(0);
  });
  // What is asked before it runs, it does not ask again by itself.
  for (let ready = false; !ready; ) {
    try {
      await consumer.connect();
      await consumer.subscribe({ topic, fromBeginning: true });
      ready = true;
    } catch (error) {
      if (!isLost(error)) throw error;
      tell(error);
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
  await consumer.run({
    autoCommit: false,
    eachBatchAutoResolve: false,
    eachBatch: async ({ batch, resolveOffset, heartbeat, isRunning, isStale }) => {
      let next = null;
      for (const message of batch.messages) {
        if (stopping || !isRunning() || isStale()) break;
        say("record", { partition: batch.partition, offset: Number(message.offset) });
        resolveOffset(message.offset);
        next = Number(message.offset) + 1;
      }
      if (next === null) return;
      try {
        await consumer.commitOffsets([{ topic, partition: batch.partition, offset: String(next) }]);
        say("committed", { offsets: { [batch.partition]: next } });
      } catch (error) {
        // A rebalance came between: whoever owns the partition next reads these records again.
        say("retried", { error: String(error) });
        throw error;
      }
      await heartbeat();
    },
  });
}

main().catch((error) => {
  say("failed", { error: String(error) });
  process.exit(1);
});
