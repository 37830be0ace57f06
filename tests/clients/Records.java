import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.*;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.Future;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Publishes or reads records as lines of JSON with Kafka's own client: `Records produce BOOTSTRAP TOPIC < LINES`,
 * `Records consume BOOTSTRAP TOPIC PARTITIONS > LINES`. The lines are those of records_confluent.py.
 */
public final class Records {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final HexFormat HEX = HexFormat.of();

    public static void main(String[] args) throws Exception {
        if (args[0].equals("produce")) produce(args[1], args[2]);
        else consume(args[1], args[2], Integer.parseInt(args[3]));
    }

    private static void produce(String bootstrap, String topic) throws Exception {
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        Map<String, Object> configs = Map.of("bootstrap.servers", bootstrap);
        try (var producer = new KafkaProducer<>(configs, new ByteArraySerializer(), new ByteArraySerializer())) {
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                JsonNode record = JSON.readTree(line);
                List<Header> headers = new ArrayList<>();
                for (JsonNode header : record.get("headers"))
                    headers.add(new RecordHeader(header.get(0).asText(), bytes(header.get(1))));
                Integer partition = record.get("partition").isNull() ? null : record.get("partition").asInt();
                sent.add(producer.send(new ProducerRecord<>(topic, partition, record.get("timestamp").asLong(),
                    bytes(record.get("key")), bytes(record.get("value")), headers)));
            }
            for (Future<RecordMetadata> one : sent) one.get();
        }
    }

    private static void consume(String bootstrap, String topic, int partitions) throws Exception {
        PrintStream out = new PrintStream(new BufferedOutputStream(System.out), false, StandardCharsets.UTF_8);
        Map<String, Object> configs = Map.of("bootstrap.servers", bootstrap, "auto.offset.reset", "earliest");
        try (var consumer = new KafkaConsumer<>(configs, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            List<TopicPartition> all = new ArrayList<>();
            for (int partition = 0; partition < partitions; partition++) all.add(new TopicPartition(topic, partition));
            consumer.assign(all);
            consumer.seekToBeginning(all);
            Map<TopicPartition, Long> ends = consumer.endOffsets(all);
            while (all.stream().anyMatch(one -> consumer.position(one) < ends.get(one)))
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofSeconds(1))) out.println(line(record));
        }
        out.flush();
    }

    private static String line(ConsumerRecord<byte[], byte[]> record) {
        ObjectNode line = JSON.createObjectNode();
        line.put("partition", record.partition()).put("offset", record.offset());
        line.put("key", hex(record.key())).put("value", hex(record.value())).put("timestamp", record.timestamp());
        ArrayNode headers = line.putArray("headers");
        for (Header header : record.headers()) headers.addArray().add(header.key()).add(hex(header.value()));
        return line.toString();
    }

    private static byte[] bytes(JsonNode text) {
        return text.isNull() ? null : HEX.parseHex(text.asText());
    }

    private static String hex(byte[] bytes) {
        return bytes == null ? null : HEX.formatHex(bytes);
    }
}
