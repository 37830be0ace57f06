import java.io.*;
import java.util.*;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.tools.api.RecordReader;

/**
 * Lets Kafka's console producer publish records of several lines: the key ends at a US (0x1F), the value at an RS (0x1E), bytes as they are.
 */
public final class StanzaReader implements RecordReader {
    private String topic;

    @Override
    public void configure(Map<String, ?> configs) {
        topic = configs.get("topic").toString();
    }

    @Override
    public Iterator<ProducerRecord<byte[], byte[]>> readRecords(InputStream input) {
        InputStream in = new BufferedInputStream(input, 1 << 16);
        return new Iterator<>() {
            private byte[] key = until(in, 0x1F);

            @Override
            public boolean hasNext() {
                return key != null;
            }

            @Override
            public ProducerRecord<byte[], byte[]> next() {
                byte[] value = until(in, 0x1E);
                ProducerRecord<byte[], byte[]> record = new ProducerRecord<>(topic, key, value);
                key = until(in, 0x1F);
                return record;
            }
        };
    }

    private static byte[] until(InputStream in, int end) {
        try {
            ByteArrayOutputStream bytes = new ByteArrayOutputStream();
            for (int next = in.read(); next != end; next = in.read()) {
                if (next < 0) return null;
                bytes.write(next);
            }
            return bytes.toByteArray();
        } catch (IOException failed) {
            throw new UncheckedIOException(failed);
        }
    }
}
