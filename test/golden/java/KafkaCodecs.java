import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.CompressionType;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.MemoryRecordsBuilder;
import org.apache.kafka.common.record.internal.RecordBatch;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Base64;

/**
 * Writes one batch per codec, large enough for several blocks of each: a line with the codec's name and the batch in base64.
 * Record i has key "key-i" and the value "value-i-" repeated (i * 37) % 900 times; 60 records.
 */
public final class KafkaCodecs {
    public static void main(String[] args) {
        for (CompressionType type : CompressionType.values()) {
            MemoryRecordsBuilder builder = MemoryRecords.builder(ByteBuffer.allocate(1024), RecordBatch.MAGIC_VALUE_V2,
                Compression.of(type).build(), TimestampType.CREATE_TIME, 0L, RecordBatch.NO_TIMESTAMP,
                RecordBatch.NO_PRODUCER_ID, RecordBatch.NO_PRODUCER_EPOCH, RecordBatch.NO_SEQUENCE, false, false, -1);
            for (int i = 0; i < 60; i++) {
                byte[] key = ("key-" + i).getBytes(StandardCharsets.UTF_8);
                byte[] value = ("value-" + i + "-").repeat(i * 37 % 900).getBytes(StandardCharsets.UTF_8);
                builder.append(1_700_000_000_000L + i, key, value);
            }
            ByteBuffer bytes = builder.build().buffer();
            byte[] copy = new byte[bytes.remaining()];
            bytes.get(copy);
            if (type == CompressionType.NONE) continue;
            System.out.println(type.name + " " + Base64.getEncoder().encodeToString(copy));
        }
    }
}
