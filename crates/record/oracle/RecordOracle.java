// Kafka's own record batches, written and read by Kafka's own classes.
//
//   java -cp 'JARS/*' RecordOracle.java write SEED COUNT   one line a batch: its bytes in hex, a tab, what is in it as JSON
//   java -cp 'JARS/*' RecordOracle.java read               hex lines in, JSON lines (or "refused: why") out
//
// `cargo xtask record-oracle` runs both; the JSON is the one that ottla_record::dump writes.

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Random;

import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.ControlRecordType;
import org.apache.kafka.common.record.internal.DefaultRecordBatch;
import org.apache.kafka.common.record.internal.EndTransactionMarker;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.MemoryRecordsBuilder;
import org.apache.kafka.common.record.internal.MutableRecordBatch;
import org.apache.kafka.common.record.internal.Record;
import org.apache.kafka.common.record.internal.RecordBatch;
import org.apache.kafka.common.utils.BufferSupplier;
import org.apache.kafka.common.utils.ByteBufferOutputStream;
import org.apache.kafka.common.utils.CloseableIterator;

public class RecordOracle {
    static final HexFormat HEX = HexFormat.of();

    public static void main(String[] args) throws Exception {
        if (args[0].equals("write")) {
            Random random = new Random(Long.parseLong(args[1]));
            int count = Integer.parseInt(args[2]);
            for (int i = 0; i < count; i++) {
                ByteBuffer batch = i % 16 == 14 ? marker(random) : i % 16 == 15 ? empty(random) : records(random, i);
                System.out.println(HEX.formatHex(bytes(batch)) + "\t" + describe(batch));
            }
        } else {
            BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
            for (String line = in.readLine(); line != null; line = in.readLine()) {
                try {
                    System.out.println(describe(ByteBuffer.wrap(HEX.parseHex(line))));
                } catch (Exception e) {
                    System.out.println("refused: " + e);
                }
            }
        }
    }

    static ByteBuffer records(Random random, int i) {
        Compression[] codecs = {
            Compression.NONE,
            Compression.gzip().level(1 + random.nextInt(9)).build(),
            Compression.snappy().build(),
            Compression.lz4().level(1 + random.nextInt(17)).build(),
            Compression.zstd().level(random.nextInt(28) - 5).build(),
        };
        boolean idempotent = random.nextBoolean();
        boolean transactional = idempotent && random.nextBoolean();
        boolean appendTime = random.nextInt(4) == 0;
        boolean horizon = random.nextInt(8) == 0;
        boolean gaps = random.nextInt(8) == 0;
        // A few batches are larger than a block of snappy (32 KiB) and of lz4 (64 KiB).
        int valueLimit = random.nextInt(20) == 0 ? 40_000 : random.nextInt(4) == 0 ? 300 : 30;
        long offset = random.nextBoolean() ? 0 : random.nextLong() >>> 1 + random.nextInt(60);
        long time = random.nextInt(10) == 0 ? random.nextLong() >>> 2 : 1_700_000_000_000L + random.nextInt(1_000_000);
        MemoryRecordsBuilder builder = new MemoryRecordsBuilder(
            new ByteBufferOutputStream(1024), RecordBatch.MAGIC_VALUE_V2, codecs[i % codecs.length],
            appendTime ? TimestampType.LOG_APPEND_TIME : TimestampType.CREATE_TIME, offset,
            appendTime ? time + 5 : RecordBatch.NO_TIMESTAMP,
            idempotent ? random.nextLong() >>> 1 : RecordBatch.NO_PRODUCER_ID,
            idempotent ? (short) random.nextInt(1 << 15) : RecordBatch.NO_PRODUCER_EPOCH,
            idempotent ? random.nextInt(5) == 0 ? Integer.MAX_VALUE - 1 : random.nextInt(1 << 20) : RecordBatch.NO_SEQUENCE,
            transactional, false, random.nextBoolean() ? RecordBatch.NO_PARTITION_LEADER_EPOCH : random.nextInt(1000),
            Integer.MAX_VALUE, horizon ? time - random.nextInt(1_000_000) : RecordBatch.NO_TIMESTAMP);
        int count = valueLimit > 1000 ? 5 : random.nextInt(6) == 0 ? 100 : 1 + random.nextInt(5);
        for (int n = 0; n < count; n++) {
            long timestamp = random.nextInt(10) == 0 ? RecordBatch.NO_TIMESTAMP : time + random.nextInt(2000) - 1000;
            builder.appendWithOffset(offset, Math.max(-1, timestamp), nullable(random, 20), nullable(random, valueLimit), headers(random));
            offset += gaps ? 1 + random.nextInt(1000) : 1;
        }
        return builder.build().buffer();
    }

    static ByteBuffer marker(Random random) {
        MemoryRecordsBuilder builder = new MemoryRecordsBuilder(
            new ByteBufferOutputStream(128), RecordBatch.MAGIC_VALUE_V2, Compression.NONE, TimestampType.CREATE_TIME,
            random.nextInt(1000), RecordBatch.NO_TIMESTAMP, random.nextInt(1000), (short) random.nextInt(100),
            RecordBatch.NO_SEQUENCE, true, true, random.nextInt(100), Integer.MAX_VALUE);
        builder.appendEndTxnMarker(1_700_000_000_000L + random.nextInt(1000), new EndTransactionMarker(
            random.nextBoolean() ? ControlRecordType.COMMIT : ControlRecordType.ABORT, random.nextInt(1 << 20)));
        return builder.build().buffer();
    }

    /** What compaction leaves of a batch that has lost all its records. */
    static ByteBuffer empty(Random random) {
        ByteBuffer buffer = ByteBuffer.allocate(DefaultRecordBatch.RECORD_BATCH_OVERHEAD);
        long offset = random.nextInt(1000);
        boolean control = random.nextInt(4) == 0;
        DefaultRecordBatch.writeEmptyHeader(
            buffer, RecordBatch.MAGIC_VALUE_V2, random.nextInt(1000), (short) random.nextInt(100),
            control ? RecordBatch.NO_SEQUENCE : random.nextInt(1000), offset, offset + random.nextInt(50), random.nextInt(100),
            TimestampType.CREATE_TIME, 1_700_000_000_000L + random.nextInt(1000), control, control);
        buffer.flip();
        return buffer;
    }

    static byte[] nullable(Random random, int limit) {
        return random.nextInt(5) == 0 ? null : value(random, limit);
    }

    /** Half noise, half something a codec can shrink. */
    static byte[] value(Random random, int limit) {
        byte[] value = new byte[random.nextInt(limit)];
        if (limit < 100 && random.nextBoolean()) {
            random.nextBytes(value);
        } else {
            String text = "the quick brown fox " + random.nextInt(10) + " ";
            for (int i = 0; i < value.length; i++) {
                value[i] = (byte) text.charAt(i % text.length());
            }
        }
        return value;
    }

    static Header[] headers(Random random) {
        List<Header> headers = new ArrayList<>();
        while (random.nextInt(3) == 0) {
            headers.add(new RecordHeader("h\u00e4" + random.nextInt(3), nullable(random, 100)));
        }
        return headers.toArray(new Header[0]);
    }

    static byte[] bytes(ByteBuffer buffer) {
        byte[] bytes = new byte[buffer.remaining()];
        buffer.duplicate().get(bytes);
        return bytes;
    }

    static String describe(ByteBuffer bytes) {
        MemoryRecords batches = MemoryRecords.readableRecords(bytes);
        StringBuilder out = new StringBuilder();
        for (MutableRecordBatch batch : batches.batches()) {
            batch.ensureValid();
            describe(out, (DefaultRecordBatch) batch);
        }
        return out.toString();
    }

    static void describe(StringBuilder out, DefaultRecordBatch batch) {
        out.append("{\"baseOffset\":").append(batch.baseOffset());
        out.append(",\"lastOffset\":").append(batch.lastOffset());
        out.append(",\"count\":").append(batch.countOrNull());
        out.append(",\"size\":").append(batch.sizeInBytes());
        out.append(",\"leaderEpoch\":").append(batch.partitionLeaderEpoch());
        out.append(",\"crc\":").append(batch.checksum());
        out.append(",\"compression\":\"").append(batch.compressionType().name).append('"');
        out.append(",\"timestampType\":\"").append(batch.timestampType().name).append('"');
        out.append(",\"transactional\":").append(batch.isTransactional());
        out.append(",\"control\":").append(batch.isControlBatch());
        out.append(",\"deleteHorizon\":").append(batch.deleteHorizonMs().orElse(-1));
        out.append(",\"baseTimestamp\":").append(batch.baseTimestamp());
        out.append(",\"maxTimestamp\":").append(batch.maxTimestamp());
        out.append(",\"producerId\":").append(batch.producerId());
        out.append(",\"producerEpoch\":").append(batch.producerEpoch());
        out.append(",\"baseSequence\":").append(batch.baseSequence());
        out.append(",\"lastSequence\":").append(batch.lastSequence());
        out.append(",\"records\":[");
        String comma = "";
        try (CloseableIterator<Record> records = batch.streamingIterator(BufferSupplier.NO_CACHING)) {
            while (records.hasNext()) {
                out.append(comma);
                describe(out, records.next());
                comma = ",";
            }
        }
        out.append("]}");
    }

    static void describe(StringBuilder out, Record record) {
        out.append("{\"offset\":").append(record.offset());
        out.append(",\"timestamp\":").append(record.timestamp());
        out.append(",\"key\":").append(hex(record.key()));
        out.append(",\"value\":").append(hex(record.value()));
        out.append(",\"headers\":[");
        String comma = "";
        for (Header header : record.headers()) {
            out.append(comma).append("[").append(hex(ByteBuffer.wrap(header.key().getBytes(StandardCharsets.UTF_8))));
            out.append(",").append(hex(header.value() == null ? null : ByteBuffer.wrap(header.value()))).append("]");
            comma = ",";
        }
        out.append("]}");
    }

    static String hex(ByteBuffer bytes) {
        return bytes == null ? "null" : '"' + HEX.formatHex(bytes(bytes)) + '"';
    }
}
