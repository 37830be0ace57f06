import java.nio.charset.StandardCharsets;
import java.util.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Writes transactions of five records each with Kafka's own producer; every third one is aborted.
 * Arguments: address, topic, number of transactions.
 */
public final class TransactionalWriter {
    public static void main(String[] args) throws Exception {
        Map<String, Object> config = new HashMap<>();
        config.put("bootstrap.servers", args[0]);
        config.put("transactional.id", "writer-of-" + args[1]);
        config.put("compression.type", "lz4");
        try (Producer<byte[], byte[]> producer =
                new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer())) {
            producer.initTransactions();
            for (int transaction = 0; transaction < Integer.parseInt(args[2]); transaction++) {
                producer.beginTransaction();
                for (int record = 0; record < 5; record++) {
                    String outcome = transaction % 3 == 2 ? "aborted" : "committed";
                    byte[] value = (outcome + " " + transaction + "-" + record).getBytes(StandardCharsets.UTF_8);
                    producer.send(new ProducerRecord<>(args[1], record % 2, null, value));
                }
                if (transaction % 3 == 2) {
                    // What is not sent yet would be dropped: the records shall be in the log.
                    producer.flush();
                    producer.abortTransaction();
                } else {
                    producer.commitTransaction();
                }
            }
        }
    }
}
