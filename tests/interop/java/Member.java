import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.*;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * One member of a consumer group with Kafka's own client: `Member BOOTSTRAP GROUP TOPIC PROTOCOL NAME`, one line of JSON an
 * event, until SIGTERM. The environment's CLIENT_RACK is its rack. What the events mean is said in tests/src/interop/member.rs.
 */
public final class Member {
    private static final PrintStream OUT = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    private static volatile boolean running = true;
    /** What was read and is not committed yet, of partitions that are ours: a rebalance may refuse a commit for a while. */
    private static final Map<TopicPartition, OffsetAndMetadata> pending = new HashMap<>();

    public static void main(String[] args) {
        Thread main = Thread.currentThread();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            running = false;
            try {
                main.join();
            } catch (InterruptedException interrupted) {
                Thread.currentThread().interrupt();
            }
        }));
        String topic = args[2];
        try (var consumer = new KafkaConsumer<byte[], byte[]>(configs(args))) {
            consumer.subscribe(List.of(topic), new Listener());
            while (running) step(consumer);
        } catch (Exception error) {
            say("failed", "\"error\":\"" + escaped(error) + "\"");
        }
        say("closed", null);
    }

    private static void step(KafkaConsumer<byte[], byte[]> consumer) {
        for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(100))) {
            say("record", "\"partition\":" + record.partition() + ",\"offset\":" + record.offset());
            pending.put(new TopicPartition(record.topic(), record.partition()), new OffsetAndMetadata(record.offset() + 1));
        }
        if (pending.isEmpty()) return;
        try {
            consumer.commitSync(pending);
            say("committed", "\"offsets\":{" + pending.entrySet().stream()
                .map(entry -> "\"" + entry.getKey().partition() + "\":" + entry.getValue().offset())
                .collect(Collectors.joining(",")) + "}");
            pending.clear();
        } catch (KafkaException error) {
            say("retried", "\"error\":\"" + escaped(error) + "\"");
        }
    }

    private static Map<String, Object> configs(String[] args) {
        Map<String, Object> configs = new HashMap<>();
        configs.put("bootstrap.servers", args[0]);
        configs.put("group.id", args[1]);
        configs.put("client.id", args[4]);
        String rack = System.getenv("CLIENT_RACK");
        if (rack != null) configs.put("client.rack", rack);
        configs.put("auto.offset.reset", "earliest");
        configs.put("enable.auto.commit", false);
        configs.put("max.poll.records", 50);
        configs.put("key.deserializer", ByteArrayDeserializer.class);
        configs.put("value.deserializer", ByteArrayDeserializer.class);
        String protocol = args[3];
        if (protocol.equals("consumer")) {
            // Timeouts and the assignor are the broker's in this protocol.
            configs.put("group.protocol", "consumer");
            return configs;
        }
        // A static member has this long to come back, a JVM's start included.
        configs.put("session.timeout.ms", protocol.equals("static") ? 10_000 : 4_000);
        configs.put("heartbeat.interval.ms", 500);
        boolean cooperative = protocol.equals("cooperative");
        configs.put("partition.assignment.strategy",
            (cooperative ? CooperativeStickyAssignor.class : RangeAssignor.class).getName());
        if (protocol.equals("static")) configs.put("group.instance.id", args[4]);
        return configs;
    }

    private static final class Listener implements ConsumerRebalanceListener {
        @Override public void onPartitionsAssigned(Collection<TopicPartition> partitions) { tell("assigned", partitions); }
        @Override public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
            pending.keySet().removeAll(partitions);
            tell("revoked", partitions);
        }

        private void tell(String event, Collection<TopicPartition> partitions) {
            say(event, "\"partitions\":" + partitions.stream().map(TopicPartition::partition).sorted().toList());
        }
    }

    private static String escaped(Exception error) {
        return String.valueOf(error).replace("\\", "\\\\").replace("\"", "'").replace("\n", " ");
    }

    private static void say(String event, String rest) {
        OUT.println("{\"event\":\"" + event + "\"" + (rest == null ? "" : "," + rest) + "}");
    }
}
