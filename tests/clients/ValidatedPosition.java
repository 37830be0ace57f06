import java.time.Duration;
import java.util.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;

/**
 * Reads a partition from a position that carries a leader epoch, as one that was committed does: before it fetches, Kafka's
 * consumer asks the leader where that epoch ended (OffsetForLeaderEpoch, KIP-320). Writes `ended OFFSET` if the position lies
 * past that end, or else the first record as `OFFSET EPOCH VALUE`, where EPOCH is the record's own.
 * Arguments: address, topic, offset, epoch.
 */
public final class ValidatedPosition {
    public static void main(String[] args) throws Exception {
        TopicPartition partition = new TopicPartition(args[1], 0);
        // Without a reset policy, a position past the end of its epoch is an exception.
        Map<String, Object> config = Map.of("bootstrap.servers", args[0], "auto.offset.reset", "none");
        try (Consumer<String, String> consumer =
                new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer())) {
            consumer.assign(List.of(partition));
            Optional<Integer> epoch = Optional.of(Integer.parseInt(args[3]));
            consumer.seek(partition, new OffsetAndMetadata(Long.parseLong(args[2]), epoch, ""));
            long deadline = System.nanoTime() + Duration.ofSeconds(30).toNanos();
            while (System.nanoTime() < deadline) {
                for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(200))) {
                    System.out.println(record.offset() + " " + record.leaderEpoch().get() + " " + record.value());
                    return;
                }
            }
            throw new IllegalStateException("no record and no exception in 30 seconds");
        } catch (LogTruncationException truncated) {
            System.out.println("ended " + truncated.divergentOffsets().get(partition).offset());
        }
    }
}
