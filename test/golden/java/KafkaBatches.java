import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;

import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.CompressionType;
import org.apache.kafka.common.record.internal.ControlRecordType;
import org.apache.kafka.common.record.internal.EndTransactionMarker;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.MemoryRecordsBuilder;
import org.apache.kafka.common.record.internal.MutableRecordBatch;
import org.apache.kafka.common.record.internal.Record;
import org.apache.kafka.common.record.internal.RecordBatch;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import java.util.Random;

/**
 * Kafka's own record batches as a referee for ours.
 *
 * <pre>
 * sample SEED COUNT   random batches, one JSON object a line: hex of the bytes, and what Kafka reads in them
 * check               lines of hex in; what Kafka reads in each out, or why it refuses
 * </pre>
 */
public final class KafkaBatches {
    private static final ObjectMapper MAPPER = new ObjectMapper();
    private static final JsonNodeFactory NODES = JsonNodeFactory.instance;

    public static void main(String[] args) throws Exception {
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        if (args[0].equals("sample")) {
            Random random = new Random(Long.parseLong(args[1]));
            for (int i = 0; i < Integer.parseInt(args[2]); i++) {
                ByteBuffer bytes = fill(random);
                out.println(MAPPER.writeValueAsString(describe(bytes)));
            }
        } else {
            BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
            for (String line = in.readLine(); line != null; line = in.readLine()) {
                ObjectNode answer;
                try {
                    answer = describe(ByteBuffer.wrap(HexFormat.of().parseHex(line)));
                } catch (RuntimeException e) {
                    answer = NODES.objectNode().put("failure", e.toString());
                }
                out.println(MAPPER.writeValueAsString(answer));
            }
        }
        out.flush();
    }

    private static ByteBuffer fill(Random random) {
        long baseOffset = random.nextInt(3) == 0 ? 0 : random.nextLong() >>> 12;
        long now = 1_700_000_000_000L + random.nextInt();
        boolean control = random.nextInt(6) == 0;
        boolean transactional = control || random.nextInt(4) == 0;
        boolean idempotent = transactional || random.nextInt(3) == 0;
        CompressionType codec = control || random.nextBoolean() ? CompressionType.NONE
            : random.nextBoolean() ? CompressionType.GZIP : CompressionType.ZSTD;
        TimestampType time = !control && random.nextInt(5) == 0 ? TimestampType.LOG_APPEND_TIME : TimestampType.CREATE_TIME;
        MemoryRecordsBuilder builder = MemoryRecords.builder(ByteBuffer.allocate(4096), RecordBatch.MAGIC_VALUE_V2,
            Compression.of(codec).build(), time, baseOffset, now,
            idempotent ? random.nextLong() >>> 1 : RecordBatch.NO_PRODUCER_ID,
            idempotent ? (short) random.nextInt(1 << 15) : RecordBatch.NO_PRODUCER_EPOCH,
            idempotent && !control ? random.nextInt() >>> 1 : RecordBatch.NO_SEQUENCE,
            transactional, control, random.nextInt(100) - 1);
        if (control) {
            ControlRecordType type = random.nextBoolean() ? ControlRecordType.COMMIT : ControlRecordType.ABORT;
            builder.appendEndTxnMarker(now, new EndTransactionMarker(type, random.nextInt(1000)));
        } else {
            boolean gaps = random.nextInt(4) == 0;
            long offset = baseOffset;
            for (int count = 1 + random.nextInt(6); count > 0; count--) {
                Header[] headers = new Header[random.nextInt(3)];
                for (int i = 0; i < headers.length; i++) headers[i] = new RecordHeader("h\u00e9-" + random.nextInt(100), bytes(random));
                builder.appendWithOffset(offset, now + random.nextInt(100_000) - 50_000, bytes(random), bytes(random), headers);
                offset += gaps ? 1 + random.nextInt(5) : 1;
            }
        }
        return builder.build().buffer();
    }

    private static byte[] bytes(Random random) {
        if (random.nextInt(4) == 0) return null;
        byte[] bytes = new byte[random.nextInt(8) == 0 ? 130 : random.nextInt(12)];
        random.nextBytes(bytes);
        return bytes;
    }

    private static ObjectNode describe(ByteBuffer buffer) {
        ObjectNode line = NODES.objectNode();
        byte[] copy = new byte[buffer.remaining()];
        buffer.duplicate().get(copy);
        line.put("hex", HexFormat.of().formatHex(copy));
        ArrayNode batches = line.putArray("batches");
        for (MutableRecordBatch batch : MemoryRecords.readableRecords(buffer).batches()) {
            batch.ensureValid();
            ObjectNode node = batches.addObject();
            node.put("baseOffset", Long.toString(batch.baseOffset()));
            node.put("sizeBytes", batch.sizeInBytes());
            node.put("partitionLeaderEpoch", batch.partitionLeaderEpoch());
            node.put("compression", batch.compressionType().id);
            node.put("isLogAppendTime", batch.timestampType() == TimestampType.LOG_APPEND_TIME);
            node.put("isTransactional", batch.isTransactional());
            node.put("isControl", batch.isControlBatch());
            node.put("lastOffset", Long.toString(batch.lastOffset()));
            node.put("maxTimestamp", Long.toString(batch.maxTimestamp()));
            node.put("producerId", Long.toString(batch.producerId()));
            node.put("producerEpoch", batch.producerEpoch());
            node.put("baseSequence", batch.baseSequence());
            ArrayNode records = node.putArray("records");
            for (Record record : batch) {
                ObjectNode each = records.addObject();
                each.put("offset", Long.toString(record.offset()));
                each.put("timestamp", Long.toString(record.timestamp()));
                each.put("key", hex(record.key()));
                each.put("value", hex(record.value()));
                ArrayNode headers = each.putArray("headers");
                for (Header header : record.headers()) {
                    ObjectNode pair = headers.addObject();
                    pair.put("key", header.key());
                    pair.put("value", header.value() == null ? null : HexFormat.of().formatHex(header.value()));
                }
            }
        }
        return line;
    }

    private static String hex(ByteBuffer buffer) {
        if (buffer == null) return null;
        byte[] copy = new byte[buffer.remaining()];
        buffer.duplicate().get(copy);
        return HexFormat.of().formatHex(copy);
    }
}
