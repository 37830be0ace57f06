import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.NullNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.Method;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.Random;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.errors.RetriableException;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.ObjectSerializationCache;
import org.apache.kafka.common.requests.RequestHeader;

/**
 * Kafka's own message classes as the judge of ours. `cargo xtask oracle` runs it over Kafka's jars:
 *
 *   generate SEEDS FIRST  stdin: message names; stdout: a random message a line, SEEDS per version: name version hex json
 *   damage PER_CASE SEED  stdin: such lines; stdout: damaged bytes and what becomes of them: name version hex (rejected | unwritable | hex)
 *   check                 stdin: lines of the first kind made by somebody else; fails on the first that Kafka reads otherwise
 *   frames                stdin: lines of the first kind; stdout: the requests among them behind their headers: name version hex
 *   errors                stdout: the table of error codes
 */
public class WireOracle {
    static final String[] PACKAGES = {
        "org.apache.kafka.common.message.",
        "org.apache.kafka.coordinator.group.generated.",
        "org.apache.kafka.coordinator.transaction.generated.",
        "org.apache.kafka.coordinator.share.generated.",
        "org.apache.kafka.server.log.remote.metadata.storage.generated.",
        "org.apache.kafka.common.metadata.",
    };
    static final ObjectMapper MAPPER = new ObjectMapper().configure(JsonParser.Feature.ALLOW_COMMENTS, true);
    static final JsonNodeFactory JSON = JsonNodeFactory.instance;
    static final PrintStream OUT = new PrintStream(new java.io.FileOutputStream(java.io.FileDescriptor.out), false, StandardCharsets.UTF_8);

    public static void main(String[] args) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        switch (args[0]) {
            case "generate" -> generate(in, Integer.parseInt(args[1]), Long.parseLong(args[2]));
            case "damage" -> damage(in, Integer.parseInt(args[1]), Long.parseLong(args[2]));
            case "check" -> check(in);
            case "frames" -> frames(in);
            case "errors" -> errors();
            default -> throw new IllegalArgumentException(args[0]);
        }
        OUT.flush();
    }

    static void generate(BufferedReader in, int seeds, long first) throws Exception {
        for (String name; (name = in.readLine()) != null;) {
            Subject subject = new Subject(name);
            for (short v = subject.lowest; v <= subject.highest; v++) {
                for (long seed = first; seed < first + seeds; seed++) {
                    JsonNode made = new Maker(subject.definition, v, new Random(name.hashCode() * 31L + v * 1009L + seed)).message();
                    byte[] bytes = subject.write(subject.fromJson(made, v), v);
                    OUT.println(name + " " + v + " " + hex(bytes) + " " + subject.toJson(subject.read(bytes, v), v));
                }
            }
        }
    }

    static void check(BufferedReader in) throws Exception {
        int count = 0;
        for (String line; (line = in.readLine()) != null; count++) {
            String[] words = line.split(" ", 4);
            Subject subject = new Subject(words[0]);
            short v = Short.parseShort(words[1]);
            byte[] bytes = bytes(words[2]);
            Message message = subject.read(bytes, v);
            JsonNode json = MAPPER.readTree(subject.toJson(message, v).toString());
            JsonNode theirs = MAPPER.readTree(words[3]);
            if (!json.equals(theirs)) {
                throw new AssertionError("Kafka reads " + words[0] + " version " + v + " as\n" + json + "\nnot as\n" + theirs);
            }
            byte[] again = subject.write(message, v);
            if (!Arrays.equals(bytes, again)) {
                throw new AssertionError("Kafka writes " + words[0] + " version " + v + " as\n" + hex(again) + "\nnot as\n" + words[2]);
            }
        }
        OUT.println(count + " messages are read by Kafka as they were meant");
    }

    static void damage(BufferedReader in, int perCase, long seed) throws Exception {
        Random random = new Random(seed);
        for (String line; (line = in.readLine()) != null;) {
            String[] words = line.split(" ", 4);
            byte[] whole = bytes(words[2]);
            Subject subject = new Subject(words[0]);
            short v = Short.parseShort(words[1]);
            for (int i = 0; i < perCase; i++) {
                byte[] damaged = damaged(whole, random);
                OUT.println(words[0] + " " + v + " " + hex(damaged) + " " + verdict(subject, damaged, v));
            }
        }
    }

    static void frames(BufferedReader in) throws Exception {
        for (String line; (line = in.readLine()) != null;) {
            String[] words = line.split(" ", 4);
            if (!words[0].endsWith("Request")) {
                continue;
            }
            ApiKeys api = ApiKeys.forId(new Subject(words[0]).definition.get("apiKey").asInt());
            short v = Short.parseShort(words[1]);
            byte[] header = new Subject("RequestHeader").write(
                new RequestHeader(api, v, "client", 7).data(), api.requestHeaderVersion(v));
            OUT.println(words[0] + " " + words[1] + " " + hex(header) + words[2].replace("-", ""));
        }
    }

    static String verdict(Subject subject, byte[] damaged, short v) {
        Message message;
        try {
            message = subject.read(damaged, v);
        } catch (RuntimeException rejected) {
            return "rejected";
        }
        try {
            return hex(subject.write(message, v));
        } catch (RuntimeException unwritable) {
            return "unwritable";
        }
    }

    static byte[] damaged(byte[] whole, Random random) {
        byte[] bytes = whole.clone();
        int at = bytes.length == 0 ? 0 : random.nextInt(bytes.length);
        switch (random.nextInt(6)) {
            case 0:
                return Arrays.copyOf(bytes, at);
            case 1:
                Arrays.fill(bytes, at, Math.min(bytes.length, at + 4), (byte) 0xff);
                return bytes;
            case 2:
                Arrays.fill(bytes, at, Math.min(bytes.length, at + 1 + random.nextInt(4)), (byte) 0);
                return bytes;
            case 3: {
                byte[] longer = new byte[bytes.length + 1];
                System.arraycopy(bytes, 0, longer, 0, at);
                longer[at] = (byte) random.nextInt(256);
                System.arraycopy(bytes, at, longer, at + 1, bytes.length - at);
                return longer;
            }
            default:
                for (int i = 0; i <= random.nextInt(3) && bytes.length > 0; i++) {
                    bytes[random.nextInt(bytes.length)] = (byte) random.nextInt(random.nextBoolean() ? 256 : 4);
                }
                return bytes;
        }
    }

    static void errors() {
        OUT.println("code\tname\tretriable");
        Arrays.stream(Errors.values()).sorted((a, b) -> a.code() - b.code()).forEach(error ->
            OUT.println(error.code() + "\t" + error.name() + "\t" + (error.exception() instanceof RetriableException)));
    }

    static String hex(byte[] bytes) {
        // A word of its own even when there is nothing.
        return bytes.length == 0 ? "-" : HexFormat.of().formatHex(bytes);
    }

    static byte[] bytes(String hex) {
        return hex.equals("-") ? new byte[0] : HexFormat.of().parseHex(hex);
    }

    /** One message: its definition and Kafka's classes for it. */
    static class Subject {
        final JsonNode definition;
        final Class<?> type;
        final Class<?> converter;
        final short lowest;
        final short highest;

        Subject(String name) throws Exception {
            definition = definition(name);
            type = find(name);
            converter = Class.forName(type.getName() + "JsonConverter");
            Message message = make();
            lowest = message.lowestSupportedVersion();
            highest = message.highestSupportedVersion();
        }

        static Class<?> find(String name) throws ClassNotFoundException {
            for (String suffix : new String[] {"Data", ""}) {
                for (String folder : PACKAGES) {
                    try {
                        return Class.forName(folder + name + suffix);
                    } catch (ClassNotFoundException next) {
                        // The next place.
                    }
                }
            }
            throw new ClassNotFoundException(name);
        }

        static JsonNode definition(String name) throws IOException {
            for (String folder : new String[] {"common/message/", "message/", "common/metadata/"}) {
                try (InputStream in = WireOracle.class.getClassLoader().getResourceAsStream(folder + name + ".json")) {
                    if (in != null) {
                        return MAPPER.readTree(in);
                    }
                }
            }
            throw new IOException("no definition of " + name);
        }

        Message make() throws Exception {
            return (Message) type.getDeclaredConstructor().newInstance();
        }

        Message fromJson(JsonNode json, short v) throws Exception {
            Method read = converter.getMethod("read", JsonNode.class, short.class);
            return (Message) read.invoke(null, json, v);
        }

        JsonNode toJson(Message message, short v) throws Exception {
            // Without their content, records are told by their size.
            Method write = converter.getMethod("write", type, short.class, boolean.class);
            return (JsonNode) write.invoke(null, message, v, false);
        }

        Message read(byte[] bytes, short v) {
            try {
                Message message = make();
                message.read(new ByteBufferAccessor(ByteBuffer.wrap(bytes)), v);
                return message;
            } catch (RuntimeException rejected) {
                throw rejected;
            } catch (Exception e) {
                throw new AssertionError(e);
            }
        }

        byte[] write(Message message, short v) {
            ObjectSerializationCache cache = new ObjectSerializationCache();
            ByteBuffer buffer = ByteBuffer.allocate(message.size(cache, v));
            message.write(new ByteBufferAccessor(buffer), cache, v);
            if (buffer.hasRemaining()) {
                throw new AssertionError("Kafka's size is not what it writes");
            }
            return buffer.array();
        }
    }

    /** Makes a random message of one version as JSON. */
    static class Maker {
        final JsonNode definition;
        final short version;
        final Random random;

        Maker(JsonNode definition, short version, Random random) {
            this.definition = definition;
            this.version = version;
            this.random = random;
        }

        JsonNode message() {
            return struct(definition.get("fields"));
        }

        JsonNode struct(JsonNode fields) {
            ObjectNode node = JSON.objectNode();
            for (JsonNode field : fields) {
                boolean tagged = field.has("tag");
                String range = field.path(tagged ? "taggedVersions" : "versions").asText();
                if (!contains(range) || tagged && random.nextInt(3) == 0) {
                    continue;
                }
                String name = field.get("name").asText();
                name = name.substring(0, 1).toLowerCase() + name.substring(1);
                boolean isNull = contains(field.path("nullableVersions").asText("none")) && random.nextInt(4) == 0;
                node.set(name, isNull ? NullNode.instance : value(field, field.get("type").asText()));
            }
            return node;
        }

        JsonNode value(JsonNode field, String type) {
            if (type.startsWith("[]")) {
                return array(field, type.substring(2));
            }
            return switch (type) {
                case "bool" -> JSON.booleanNode(random.nextBoolean());
                case "int8" -> JSON.numberNode((byte) number());
                case "int16" -> JSON.numberNode((short) number());
                case "int32" -> JSON.numberNode((int) number());
                case "int64" -> JSON.numberNode(number());
                case "uint16" -> JSON.numberNode((int) (number() & 0xffff));
                case "uint32" -> JSON.numberNode(number() & 0xffffffffL);
                case "float64" -> JSON.numberNode(random.nextBoolean() ? random.nextInt(100) : random.nextGaussian() * 1e6);
                case "string" -> JSON.textNode(text());
                case "uuid" -> JSON.textNode(new Uuid(random.nextLong(), random.nextLong()).toString());
                case "bytes", "records" -> JSON.binaryNode(bytes());
                default -> struct(fields(field, type));
            };
        }

        ArrayNode array(JsonNode field, String element) {
            // Sometimes more than 127, so that a compact length takes two bytes.
            boolean small = !Character.isUpperCase(element.charAt(0));
            int count = small && random.nextInt(40) == 0 ? 130 : random.nextInt(4);
            ArrayNode array = JSON.arrayNode();
            for (int i = 0; i < count; i++) {
                array.add(value(field, element));
            }
            return array;
        }

        /** The fields of a struct, which its user defines or several users share. */
        JsonNode fields(JsonNode field, String type) {
            if (field.has("fields")) {
                return field.get("fields");
            }
            for (JsonNode shared : definition.path("commonStructs")) {
                if (shared.get("name").asText().equals(type)) {
                    return shared.get("fields");
                }
            }
            throw new IllegalStateException("no struct " + type);
        }

        long number() {
            return switch (random.nextInt(5)) {
                case 0 -> random.nextInt(3) - 1;
                case 1 -> random.nextInt(300);
                case 2 -> Long.MAX_VALUE >> 16 * random.nextInt(4);
                default -> random.nextLong();
            };
        }

        String text() {
            int length = random.nextInt(30) == 0 ? 200 : random.nextInt(9);
            StringBuilder text = new StringBuilder();
            for (int i = 0; i < length; i++) {
                text.appendCodePoint(random.nextInt(12) == 0 ? new int[] {0xe9, 0x4e2d, 0x1f980, 0x22}[random.nextInt(4)] : 'a' + random.nextInt(26));
            }
            return text.toString();
        }

        byte[] bytes() {
            byte[] bytes = new byte[random.nextInt(30) == 0 ? 150 : random.nextInt(9)];
            random.nextBytes(bytes);
            return bytes;
        }

        boolean contains(String range) {
            if (range.equals("none") || range.isEmpty()) {
                return false;
            }
            if (range.endsWith("+")) {
                return version >= Short.parseShort(range.substring(0, range.length() - 1));
            }
            String[] ends = range.split("-");
            return version >= Short.parseShort(ends[0]) && version <= Short.parseShort(ends[ends.length - 1]);
        }
    }
}
