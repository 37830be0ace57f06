import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.*;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * What history_writer.py does, with Kafka's own producer: publishes rising numbers at a steady rate until its standard input ends,
 * and says what became of each. `HistoryWriter BOOTSTRAP TOPIC NAME PARTITIONS PER_SECOND`
 */
public final class HistoryWriter {
    private static volatile boolean stopped = false;

    public static void main(String[] args) throws Exception {
        PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        Thread input = new Thread(() -> {
            try {
                while (System.in.read() >= 0) { }
            } catch (IOException ended) {
                // The same as its end.
            }
            stopped = true;
        });
        input.setDaemon(true);
        input.start();
        String topic = args[1];
        int partitions = Integer.parseInt(args[3]);
        long between = TimeUnit.SECONDS.toNanos(1) / Integer.parseInt(args[4]);
        long sent = 0;
        try (var producer = new KafkaProducer<String, String>(configs(args[0]))) {
            for (long due = System.nanoTime(); !stopped; due += between) {
                long early = due - System.nanoTime();
                if (early > 0) TimeUnit.NANOSECONDS.sleep(early);
                long number = sent++;
                int partition = (int) (number % partitions);
                producer.send(new ProducerRecord<>(topic, partition, null, args[2] + "-" + number), (metadata, error) -> {
                    if (error == null) out.println("acked " + number + " " + partition + " " + metadata.offset());
                    else out.println("unknown " + number + " " + partition + " " + error);
                });
            }
            producer.flush();
        }
        out.println("sent " + sent);
    }

    private static Map<String, Object> configs(String bootstrap) {
        Map<String, Object> configs = new HashMap<>();
        configs.put("bootstrap.servers", bootstrap);
        configs.put("key.serializer", StringSerializer.class);
        configs.put("value.serializer", StringSerializer.class);
        configs.put("linger.ms", 1);
        configs.put("delivery.timeout.ms", 120_000);
        configs.put("max.block.ms", 120_000);
        // A host that has fallen silent closes no connection: the client has to give up its requests.
        configs.put("request.timeout.ms", 1_000);
        configs.put("socket.connection.setup.timeout.ms", 1_000);
        configs.put("metadata.max.age.ms", 1_000);
        configs.put("reconnect.backoff.ms", 20);
        configs.put("reconnect.backoff.max.ms", 100);
        configs.put("retry.backoff.ms", 20);
        configs.put("retry.backoff.max.ms", 50);
        return configs;
    }
}
