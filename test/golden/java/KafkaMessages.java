import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.NullNode;
import com.fasterxml.jackson.databind.node.ObjectNode;

import org.apache.kafka.common.errors.RetriableException;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.ObjectSerializationCache;

import java.io.BufferedReader;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;

/**
 * Kafka's own message classes as a referee for our codecs.
 *
 * <pre>
 * sample SEED COUNT BIGINTS [BELOW]   random messages, one JSON object a line: name, version, hex of the bytes, values
 * check                               lines "NAME VERSION HEX" in; for each a line out: what Kafka reads, and its bytes again
 * errors                              the table of error codes
 * </pre>
 *
 * Messages are built as JSON from the descriptors inside the jars on the class path, turned into objects by Kafka's
 * generated JSON converters, and written by Kafka's generated codecs. The values printed are those Kafka reads back
 * from the bytes. BIGINTS names the int64 fields that may take any value; the others stay within what a double holds
 * exactly. BELOW is a list NAME=VERSION: only versions below that are sampled (for jars of older releases).
 */
public final class KafkaMessages {
    private static final ObjectMapper MAPPER = new ObjectMapper().enable(JsonParser.Feature.ALLOW_COMMENTS);
    private static final JsonNodeFactory NODES = JsonNodeFactory.instance;
    private static final long SAFE = (1L << 53) - 1;

    /** Descriptors by message name. */
    private final Map<String, JsonNode> descriptors = new TreeMap<>();
    /** Class names of the JSON converters by message name. */
    private final Map<String, String> converters = new HashMap<>();
    private final Map<String, Codec> codecs = new HashMap<>();

    public static void main(String[] args) throws Exception {
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        KafkaMessages messages = new KafkaMessages();
        switch (args[0]) {
            case "sample":
                messages.sample(Long.parseLong(args[1]), Integer.parseInt(args[2]), listOf(args[3]),
                    args.length > 4 ? limitsOf(args[4]) : null, out);
                break;
            case "check":
                messages.check(new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8)), out);
                break;
            case "errors":
                printErrors(out);
                break;
            default:
                throw new IllegalArgumentException(args[0]);
        }
        out.flush();
    }

    private static Set<String> listOf(String text) {
        return new HashSet<>(Arrays.asList(text.split(",")));
    }

    private static Map<String, Integer> limitsOf(String text) {
        Map<String, Integer> limits = new HashMap<>();
        for (String entry : text.split(",")) {
            String[] parts = entry.split("=");
            limits.put(parts[0], Integer.parseInt(parts[1]));
        }
        return limits;
    }

    private KafkaMessages() throws IOException {
        for (String path : System.getProperty("java.class.path").split(File.pathSeparator)) {
            if (!new File(path).getName().matches("kafka.*\\.jar")) continue;
            try (ZipFile jar = new ZipFile(path)) {
                for (ZipEntry entry : Collections.list(jar.entries())) scan(jar, entry);
            }
        }
    }

    private void scan(ZipFile jar, ZipEntry entry) throws IOException {
        String name = entry.getName();
        String file = name.substring(name.lastIndexOf('/') + 1);
        if (name.matches("(common/)?(message|metadata)/\\w+\\.json")) {
            try (InputStream stream = jar.getInputStream(entry)) {
                JsonNode descriptor = MAPPER.readTree(stream);
                descriptors.put(descriptor.get("name").asText(), descriptor);
            }
        } else if (file.endsWith("JsonConverter.class") && !file.contains("$")) {
            String message = file.substring(0, file.length() - "JsonConverter.class".length());
            converters.put(message, name.substring(0, name.length() - ".class".length()).replace('/', '.'));
        }
    }

    // ---- sampling

    private void sample(long seed, int count, Set<String> bigints, Map<String, Integer> below, PrintStream out)
            throws Exception {
        for (Map.Entry<String, JsonNode> entry : descriptors.entrySet()) {
            String name = entry.getKey();
            JsonNode descriptor = entry.getValue();
            int[] valid = range(descriptor.get("validVersions").asText());
            if (valid == null) continue;
            int last = valid[1];
            if (below != null) {
                if (!below.containsKey(name)) continue;
                last = Math.min(last, below.get(name) - 1);
            }
            Codec codec = codecOf(name);
            if (codec == null) {
                System.err.println("skipped " + name + ": no class with a JSON converter");
                continue;
            }
            for (int version = valid[0]; version <= last; version++) {
                for (int index = 0; index < count; index++) {
                    Random random = new Random(seed ^ ((long) name.hashCode() << 20) ^ ((long) version << 8) ^ index);
                    Filler filler = new Filler(random, bigints, descriptor, version, index);
                    ObjectNode filled = filler.fill(descriptor.get("fields"));
                    byte[] bytes = write(codec.fromJson(filled, version), version);
                    ObjectNode line = NODES.objectNode();
                    line.put("name", name);
                    line.put("version", version);
                    line.put("hex", HexFormat.of().formatHex(bytes));
                    line.set("values", widen(withRecords(codec.toJson(codec.read(bytes, version), version), filled)));
                    out.println(MAPPER.writeValueAsString(line));
                }
            }
        }
    }

    private static byte[] write(Message message, int version) {
        ObjectSerializationCache cache = new ObjectSerializationCache();
        ByteBuffer buffer = ByteBuffer.allocate(message.size(cache, (short) version));
        message.write(new ByteBufferAccessor(buffer), cache, (short) version);
        return buffer.array();
    }

    /** Kafka's converters print no record bytes; they are put back from what was filled in. */
    private static JsonNode withRecords(JsonNode read, JsonNode filled) {
        if (read.isBinary() && read.asText().isEmpty()) return filled;
        if (read.isArray()) {
            for (int i = 0; i < read.size(); i++) ((ArrayNode) read).set(i, withRecords(read.get(i), filled.get(i)));
        } else if (read.isObject()) {
            for (Map.Entry<String, JsonNode> field : ((ObjectNode) read).properties()) {
                if (filled.has(field.getKey())) field.setValue(withRecords(field.getValue(), filled.get(field.getKey())));
            }
        }
        return read;
    }

    /** Whole numbers that a double does not hold become text. */
    private static JsonNode widen(JsonNode node) {
        if (node.isObject()) {
            ObjectNode copy = NODES.objectNode();
            node.properties().forEach(field -> copy.set(field.getKey(), widen(field.getValue())));
            return copy;
        }
        if (node.isArray()) {
            ArrayNode copy = NODES.arrayNode();
            node.forEach(element -> copy.add(widen(element)));
            return copy;
        }
        if (node.isLong() && (node.longValue() > SAFE || node.longValue() < -SAFE)) return NODES.textNode(node.asText());
        return node;
    }

    /** Builds a random message of one version as the JSON converters want it. */
    private static final class Filler {
        private final Random random;
        private final Set<String> bigints;
        private final Map<String, JsonNode> commonStructs = new HashMap<>();
        private final int version;
        /** The first sample of a version is as empty as it can be, the second as full. */
        private final int index;

        Filler(Random random, Set<String> bigints, JsonNode descriptor, int version, int index) {
            this.random = random;
            this.bigints = bigints;
            this.version = version;
            this.index = index;
            if (descriptor.has("commonStructs")) {
                for (JsonNode struct : descriptor.get("commonStructs")) {
                    commonStructs.put(struct.get("name").asText(), struct.get("fields"));
                }
            }
        }

        ObjectNode fill(JsonNode fields) {
            ObjectNode object = NODES.objectNode();
            for (JsonNode field : fields) {
                if (!isIn(field, "versions", version)) continue;
                boolean tagged = isIn(field, "taggedVersions", version);
                if (tagged && (index == 0 || index > 1 && random.nextInt(3) == 0)) continue;
                String name = field.get("name").asText();
                object.set(Character.toLowerCase(name.charAt(0)) + name.substring(1), value(field));
            }
            return object;
        }

        private JsonNode value(JsonNode field) {
            if (isIn(field, "nullableVersions", version)) {
                if (index == 0 || index > 1 && random.nextInt(3) == 0) return NullNode.instance;
            }
            String type = field.get("type").asText();
            if (!type.startsWith("[]")) return single(field, type);
            ArrayNode array = NODES.arrayNode();
            int count = index == 0 ? 0 : index == 1 ? 2 : random.nextInt(3);
            if (index > 1 && random.nextInt(200) == 0) count = 130;
            for (int i = 0; i < count; i++) array.add(single(field, type.substring(2)));
            return array;
        }

        private JsonNode single(JsonNode field, String type) {
            switch (type) {
                case "bool":
                    return NODES.booleanNode(random.nextBoolean());
                case "int8":
                    return NODES.numberNode((short) (byte) random.nextInt());
                case "int16":
                    return NODES.numberNode((short) random.nextInt());
                case "uint16":
                    return NODES.numberNode(random.nextInt(65536));
                case "int32":
                    return NODES.numberNode(random.nextInt(4) == 0 ? random.nextInt(100) : random.nextInt());
                case "uint32":
                    return NODES.numberNode(random.nextLong() & 0xffffffffL);
                case "int64": {
                    long value = random.nextLong();
                    if (!bigints.contains(field.get("name").asText())) value %= SAFE;
                    return NODES.numberNode(random.nextInt(4) == 0 ? random.nextInt(1000) - 1 : value);
                }
                case "float64":
                    return NODES.numberNode(random.nextGaussian() * 1e6);
                case "string":
                    return NODES.textNode(text());
                case "uuid": {
                    byte[] id = new byte[16];
                    if (index != 0) random.nextBytes(id);
                    return NODES.textNode(Base64.getUrlEncoder().withoutPadding().encodeToString(id));
                }
                case "bytes":
                case "records": {
                    byte[] bytes = new byte[index == 0 ? 0 : random.nextInt(8) == 0 ? 150 : random.nextInt(20)];
                    random.nextBytes(bytes);
                    return NODES.binaryNode(bytes);
                }
                default: {
                    JsonNode fields = field.has("fields") ? field.get("fields") : commonStructs.get(type);
                    if (fields == null) throw new IllegalStateException("no struct " + type);
                    return fill(fields);
                }
            }
        }

        private String text() {
            if (index == 0) return "";
            int kind = random.nextInt(12);
            int length = kind == 0 ? 0 : kind == 1 ? 130 + random.nextInt(30) : 1 + random.nextInt(12);
            StringBuilder text = new StringBuilder();
            for (int i = 0; i < length; i++) {
                int point = kind == 2 ? 0x80 + random.nextInt(0x700)
                    : kind == 3 ? 0x4e00 + random.nextInt(0x1000)
                    : kind == 4 ? 0x1f300 + random.nextInt(0x200)
                    : 0x20 + random.nextInt(0x5f);
                text.appendCodePoint(point);
            }
            return text.toString();
        }
    }

    private static boolean isIn(JsonNode field, String what, int version) {
        if (!field.has(what)) return false;
        int[] range = range(field.get(what).asText());
        return range != null && version >= range[0] && version <= range[1];
    }

    private static int[] range(String text) {
        if (text.equals("none")) return null;
        if (text.endsWith("+")) return new int[] {Integer.parseInt(text.substring(0, text.length() - 1)), Short.MAX_VALUE};
        String[] parts = text.split("-");
        return new int[] {Integer.parseInt(parts[0]), Integer.parseInt(parts[parts.length - 1])};
    }

    // ---- checking

    private void check(BufferedReader in, PrintStream out) throws Exception {
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String[] parts = line.split(" ");
            int version = Integer.parseInt(parts[1]);
            byte[] bytes = parts.length > 2 ? HexFormat.of().parseHex(parts[2]) : new byte[0];
            ObjectNode answer = NODES.objectNode();
            Codec codec = codecOf(parts[0]);
            if (codec == null) {
                answer.put("missing", true);
            } else {
                try {
                    Message message = codec.read(bytes, version);
                    answer.set("values", widen(codec.toJson(message, version)));
                    answer.put("hex", HexFormat.of().formatHex(write(message, version)));
                } catch (RuntimeException | OutOfMemoryError e) {
                    answer.put("failure", e.toString());
                }
            }
            out.println(MAPPER.writeValueAsString(answer));
        }
    }

    private static void printErrors(PrintStream out) throws IOException {
        ArrayNode table = NODES.arrayNode();
        for (Errors error : Errors.values()) {
            ObjectNode row = table.addObject();
            row.put("code", error.code());
            row.put("name", error.name());
            row.put("isRetriable", error.exception() instanceof RetriableException);
        }
        out.println(MAPPER.writeValueAsString(table));
    }

    // ---- Kafka's generated classes

    private Codec codecOf(String name) throws ReflectiveOperationException {
        Codec known = codecs.get(name);
        if (known != null) return known;
        String converter = converters.getOrDefault(name, converters.get(name + "Data"));
        if (converter == null) return null;
        Codec codec = new Codec(converter);
        codecs.put(name, codec);
        return codec;
    }

    private static final class Codec {
        private final Class<?> type;
        private final Method fromJson;
        private final Method toJson;

        Codec(String converterName) throws ReflectiveOperationException {
            Class<?> converter = Class.forName(converterName);
            type = Class.forName(converterName.substring(0, converterName.length() - "JsonConverter".length()));
            fromJson = converter.getMethod("read", JsonNode.class, short.class);
            toJson = converter.getMethod("write", type, short.class, boolean.class);
        }

        Message fromJson(JsonNode node, int version) throws ReflectiveOperationException {
            return (Message) invoke(fromJson, node, (short) version);
        }

        JsonNode toJson(Message message, int version) throws ReflectiveOperationException {
            return (JsonNode) invoke(toJson, message, (short) version, true);
        }

        Message read(byte[] bytes, int version) throws ReflectiveOperationException {
            Message message = (Message) type.getConstructor().newInstance();
            message.read(new ByteBufferAccessor(ByteBuffer.wrap(bytes)), (short) version);
            return message;
        }

        private static Object invoke(Method method, Object... args) throws ReflectiveOperationException {
            try {
                return method.invoke(null, args);
            } catch (InvocationTargetException e) {
                if (e.getCause() instanceof RuntimeException) throw (RuntimeException) e.getCause();
                throw e;
            }
        }
    }
}
