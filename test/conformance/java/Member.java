import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.SubscriptionPattern;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** A group member on Kafka's own client: classic, cooperative or next-generation; see ../README.md. */
public final class Member implements ConsumerRebalanceListener {
  private static final ObjectMapper JSON = new ObjectMapper();
  private final PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
  private final KafkaConsumer<byte[], byte[]> consumer;
  private final Map<TopicPartition, OffsetAndMetadata> positions = new HashMap<>();
  private volatile boolean isLeaving = false;

  private Member(Properties properties) {
    this.consumer = new KafkaConsumer<>(properties, new ByteArrayDeserializer(), new ByteArrayDeserializer());
  }

  public static void main(String[] arguments) throws Exception {
    Map<String, String> words = new HashMap<>();
    for (int at = 0; at + 1 < arguments.length; at += 2) words.put(arguments[at], arguments[at + 1]);
    JsonNode options = JSON.readTree(words.get("--member"));
    Properties properties = new Properties();
    properties.put("bootstrap.servers", words.get("--bootstrap"));
    properties.put("group.id", options.get("group").asText());
    properties.put("auto.offset.reset", "earliest");
    properties.put("enable.auto.commit", "false");
    properties.put("fetch.max.wait.ms", "100");
    properties.put("reconnect.backoff.max.ms", "500");
    properties.put("metadata.max.age.ms", "1000");
    // Alone, a broker that is away makes the client forget its topics' partitions, and a leader that forgets them rejoins.
    properties.put("metadata.recovery.strategy", "none");
    if (options.has("instanceId")) properties.put("group.instance.id", options.get("instanceId").asText());
    String protocol = options.get("protocol").asText();
    if (protocol.equals("consumer")) {
      properties.put("group.protocol", "consumer");
    } else {
      String assignor = protocol.equals("cooperative") ? "CooperativeStickyAssignor" : "RangeAssignor";
      properties.put("partition.assignment.strategy", "org.apache.kafka.clients.consumer." + assignor);
      properties.put("session.timeout.ms", options.get("sessionTimeoutMs").asText());
      properties.put("heartbeat.interval.ms", options.get("heartbeatMs").asText());
    }
    new Member(properties).run(options);
    System.exit(0);
  }

  private void run(JsonNode options) throws Exception {
    Thread waiting = new Thread(() -> {
      try {
        System.in.transferTo(PrintStream.nullOutputStream());
      } catch (Exception error) {
        // The pipe is gone: the same as its end.
      }
      isLeaving = true;
    });
    waiting.setDaemon(true);
    waiting.start();
    if (options.has("pattern")) {
      consumer.subscribe(new SubscriptionPattern(options.get("pattern").asText()), this);
    } else {
      List<String> topics = new ArrayList<>();
      for (JsonNode topic : options.get("topics")) topics.add(topic.asText());
      consumer.subscribe(topics, this);
    }
    while (!isLeaving) {
      try {
        read(consumer.poll(Duration.ofMillis(100)));
      } catch (Exception error) {
        failed("poll", error);
        continue;
      }
      commit();
    }
    consumer.close();
    say("left", JSON.createObjectNode());
  }

  private void read(ConsumerRecords<byte[], byte[]> records) throws Exception {
    int generation = records.isEmpty() ? -1 : consumer.groupMetadata().generationId();
    for (TopicPartition partition : records.partitions()) {
      ObjectNode event = JSON.createObjectNode().put("topic", partition.topic()).put("partition", partition.partition());
      event.put("generation", generation);
      ArrayNode offsets = event.putArray("offsets");
      for (ConsumerRecord<byte[], byte[]> record : records.records(partition)) {
        offsets.add(record.offset());
        positions.put(partition, new OffsetAndMetadata(record.offset() + 1));
      }
      say("read", event);
    }
  }

  private void commit() {
    if (positions.isEmpty()) return;
    try {
      Map<TopicPartition, OffsetAndMetadata> wanted = new HashMap<>(positions);
      consumer.commitSync(wanted, Duration.ofSeconds(10));
      ObjectNode event = JSON.createObjectNode();
      ArrayNode offsets = event.putArray("offsets");
      wanted.forEach((partition, next) -> {
        offsets.addArray().add(partition.topic()).add(partition.partition()).add(next.offset());
        positions.remove(partition, next);
      });
      say("committed", event);
    } catch (Exception error) {
      failed("commit", error);
    }
  }

  @Override
  public void onPartitionsAssigned(Collection<TopicPartition> gained) {
    ConsumerGroupMetadata about = consumer.groupMetadata();
    say("assigned", event(gained).put("generation", about.generationId()).put("memberId", about.memberId()));
  }

  @Override
  public void onPartitionsRevoked(Collection<TopicPartition> revoked) {
    commit();
    say("revoked", event(revoked));
    positions.keySet().removeAll(revoked);
  }

  @Override
  public void onPartitionsLost(Collection<TopicPartition> lost) {
    say("lost", event(lost));
    positions.keySet().removeAll(lost);
  }

  private static ObjectNode event(Collection<TopicPartition> partitions) {
    ObjectNode event = JSON.createObjectNode();
    ArrayNode rows = event.putArray("partitions");
    for (TopicPartition one : partitions) rows.addArray().add(one.topic()).add(one.partition());
    return event;
  }

  private void failed(String what, Exception error) {
    say("failed", JSON.createObjectNode().put("what", what).put("error", error.toString()));
  }

  private void say(String name, ObjectNode event) {
    out.println(event.put("event", name).put("at", (double) System.currentTimeMillis()));
  }
}
