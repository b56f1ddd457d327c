import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.utils.AppInfoParser;

/**
 * Kafka's own Java client: the reference that the other clients' records are compared with. Runs as a single source file
 * (`java -cp 'libs/*' Program.java --bootstrap host:port`). Protocol of commands: ../README.md.
 */
public final class Program {
  private static final ObjectMapper JSON = new ObjectMapper();
  private final String bootstrap;
  private final Admin admin;

  private Program(String bootstrap) {
    this.bootstrap = bootstrap;
    this.admin = Admin.create(properties());
  }

  public static void main(String[] arguments) throws Exception {
    String bootstrap = "127.0.0.1:9092";
    for (int at = 0; at + 1 < arguments.length; at += 2) {
      if (arguments[at].equals("--bootstrap")) bootstrap = arguments[at + 1];
    }
    PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    Program program = new Program(bootstrap);
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      if (line.isBlank()) continue;
      JsonNode command = JSON.readTree(line);
      ObjectNode answer = JSON.createObjectNode();
      answer.set("id", command.get("id"));
      try {
        program.answer(command, answer.put("ok", true));
      } catch (UnsupportedOperationException reason) {
        answer.put("ok", false).put("unsupported", reason.getMessage());
      } catch (Exception error) {
        answer.put("ok", false).put("error", error.toString());
      }
      out.println(JSON.writeValueAsString(answer));
    }
    program.admin.close();
    System.exit(0);
  }

  private void answer(JsonNode command, ObjectNode answer) throws Exception {
    switch (command.get("op").asText()) {
      case "describe" -> describe(answer);
      case "create" -> create(command);
      case "remove" -> admin.deleteTopics(List.of(topic(command))).all().get();
      case "produce" -> produce(command, answer);
      case "consume" -> consume(command, answer);
      case "assign" -> assign(command, answer);
      case "committed" -> committed(command, answer);
      case "watermarks" -> watermarks(command, answer);
      case "offsetsForTimes" -> offsetsForTimes(command, answer);
      default -> throw new UnsupportedOperationException("no operation " + command.get("op"));
    }
  }

  private void describe(ObjectNode answer) {
    answer.put("client", "java").put("version", AppInfoParser.getVersion());
    answer.put("runtime", "java " + System.getProperty("java.version")).put("partitioner", "murmur2");
    ArrayNode codecs = answer.putArray("codecs");
    for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) codecs.add(codec);
    answer.putArray("limits");
  }

  private void create(JsonNode command) throws Exception {
    Map<String, String> configs = new HashMap<>();
    if (command.has("configs")) {
      command.get("configs").fields().forEachRemaining(entry -> configs.put(entry.getKey(), entry.getValue().asText()));
    }
    NewTopic wanted = new NewTopic(topic(command), command.get("partitions").asInt(), (short) 1).configs(configs);
    admin.createTopics(List.of(wanted)).all().get();
  }

  private void produce(JsonNode command, ObjectNode answer) throws Exception {
    Properties properties = properties();
    properties.put("compression.type", command.get("codec").asText());
    properties.put("enable.idempotence", String.valueOf(command.path("idempotent").asBoolean(false)));
    properties.put("acks", "all");
    properties.put("linger.ms", "20");
    properties.put("delivery.timeout.ms", "30000");
    properties.put("request.timeout.ms", "15000");
    ArrayNode placed = answer.putArray("placed");
    try (var producer = new KafkaProducer<>(properties, new ByteArraySerializer(), new ByteArraySerializer())) {
      List<Future<RecordMetadata>> sent = new ArrayList<>();
      for (JsonNode record : command.get("records")) {
        JsonNode where = record.get("partition");
        var wanted = new ProducerRecord<>(topic(command), where == null || where.isNull() ? null : (Integer) where.asInt(),
            (Long) record.get("timestamp").asLong(), bytes(record.get("key")), bytes(record.get("value")));
        for (JsonNode header : record.get("headers")) wanted.headers().add(header.get(0).asText(), bytes(header.get(1)));
        sent.add(producer.send(wanted));
      }
      producer.flush();
      for (Future<RecordMetadata> one : sent) {
        RecordMetadata where = one.get();
        placed.addArray().add(where.partition()).add(where.offset());
      }
    }
  }

  private void consume(JsonNode command, ObjectNode answer) throws Exception {
    try (var consumer = reader(command.get("group").asText())) {
      consumer.subscribe(List.of(topic(command)));
      Map<TopicPartition, OffsetAndMetadata> next = poll(consumer, command, answer);
      if (command.path("commit").asBoolean(true)) consumer.commitSync(next);
    }
  }

  private void assign(JsonNode command, ObjectNode answer) throws Exception {
    try (var consumer = reader(null)) {
      consumer.assign(partitions(command));
      consumer.seekToBeginning(partitions(command));
      poll(consumer, command, answer);
    }
  }

  private Map<TopicPartition, OffsetAndMetadata> poll(
      KafkaConsumer<byte[], byte[]> consumer, JsonNode command, ObjectNode answer) {
    int count = command.get("count").asInt();
    long timeoutMs = command.path("timeoutMs").asLong(30_000);
    long deadline = System.nanoTime() + timeoutMs * 1_000_000;
    ArrayNode records = answer.putArray("records");
    Map<TopicPartition, OffsetAndMetadata> next = new HashMap<>();
    while (records.size() < count) {
      if (System.nanoTime() > deadline) {
        throw new IllegalStateException(records.size() + " of " + count + " records after " + timeoutMs + " ms");
      }
      for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(200))) {
        if (records.size() == count) break;
        ObjectNode one = records.addObject().put("partition", record.partition()).put("offset", record.offset());
        one.put("timestamp", record.timestamp()).put("key", text(record.key())).put("value", text(record.value()));
        ArrayNode headers = one.putArray("headers");
        for (Header header : record.headers()) headers.addArray().add(header.key()).add(text(header.value()));
        next.put(new TopicPartition(record.topic(), record.partition()), new OffsetAndMetadata(record.offset() + 1));
      }
    }
    return next;
  }

  private void committed(JsonNode command, ObjectNode answer) throws Exception {
    var found = admin.listConsumerGroupOffsets(command.get("group").asText()).partitionsToOffsetAndMetadata().get();
    ObjectNode offsets = answer.putObject("offsets");
    for (TopicPartition partition : partitions(command)) {
      OffsetAndMetadata offset = found.get(partition);
      offsets.put(String.valueOf(partition.partition()), offset == null ? -1 : offset.offset());
    }
  }

  private void watermarks(JsonNode command, ObjectNode answer) {
    try (var consumer = reader(null)) {
      Map<TopicPartition, Long> low = consumer.beginningOffsets(partitions(command));
      Map<TopicPartition, Long> high = consumer.endOffsets(partitions(command));
      ArrayNode out = answer.putArray("partitions");
      for (TopicPartition partition : partitions(command)) {
        out.addObject().put("partition", partition.partition()).put("low", low.get(partition)).put("high", high.get(partition));
      }
    }
  }

  private void offsetsForTimes(JsonNode command, ObjectNode answer) {
    try (var consumer = reader(null)) {
      Map<TopicPartition, Long> wanted = new HashMap<>();
      for (TopicPartition partition : partitions(command)) wanted.put(partition, command.get("timestamp").asLong());
      ObjectNode offsets = answer.putObject("offsets");
      for (Map.Entry<TopicPartition, OffsetAndTimestamp> found : consumer.offsetsForTimes(wanted).entrySet()) {
        long offset = found.getValue() == null ? -1 : found.getValue().offset();
        offsets.put(String.valueOf(found.getKey().partition()), offset);
      }
    }
  }

  private KafkaConsumer<byte[], byte[]> reader(String group) {
    Properties properties = properties();
    if (group != null) properties.put("group.id", group);
    properties.put("auto.offset.reset", "earliest");
    properties.put("enable.auto.commit", "false");
    properties.put("session.timeout.ms", "10000");
    return new KafkaConsumer<>(properties, new ByteArrayDeserializer(), new ByteArrayDeserializer());
  }

  private Properties properties() {
    Properties properties = new Properties();
    properties.put("bootstrap.servers", bootstrap);
    return properties;
  }

  private static String topic(JsonNode command) {
    return command.get("topic").asText();
  }

  private static List<TopicPartition> partitions(JsonNode command) {
    List<TopicPartition> out = new ArrayList<>();
    for (JsonNode partition : command.get("partitions")) out.add(new TopicPartition(topic(command), partition.asInt()));
    return out;
  }

  private static byte[] bytes(JsonNode text) {
    return text == null || text.isNull() ? null : Base64.getDecoder().decode(text.asText());
  }

  private static String text(byte[] bytes) {
    return bytes == null ? null : Base64.getEncoder().encodeToString(bytes);
  }
}
