import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.SubscriptionPattern;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.common.utils.Exit;

/**
 * Kafka's command-line tools, many runs in one JVM. Steps come in as lines of JSON and leave as such when they are done, in order:
 * `run` calls a tool's main with its outputs and its exit taken over, the others put state into the broker with the Java clients.
 *
 * <pre>
 * java -cp 'libs-tools/*' Tools.java --bootstrap HOST:PORT --directory SCRATCH
 * </pre>
 */
public final class Tools {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final long PATIENCE_MS = 60_000;
  private final PrintStream replies = System.out;
  private final PrintStream complaints = System.err;
  private final String bootstrap;
  private final Path directory;
  private final Map<String, Member> members = new HashMap<>();

  private Tools(String bootstrap, Path directory) {
    this.bootstrap = bootstrap;
    this.directory = directory;
  }

  /** How a tool asked to end. */
  private static final class Ended extends RuntimeException {
    final int status;

    Ended(int status) {
      super("exit " + status, null, false, false);
      this.status = status;
    }
  }

  public static void main(String[] arguments) throws Exception {
    Tools tools = new Tools(arguments[1], Path.of(arguments[3]));
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      ObjectNode answer = JSON.createObjectNode();
      try {
        tools.answer(JSON.readTree(line), answer);
      } catch (Exception error) {
        answer.put("failure", error.toString());
      }
      tools.replies.println(JSON.writeValueAsString(answer));
      tools.replies.flush();
    }
    for (Member member : tools.members.values()) member.leave();
    Runtime.getRuntime().halt(0);
  }

  private void answer(JsonNode step, ObjectNode answer) throws Exception {
    switch (step.get("op").asText()) {
      case "run" -> {
        String until = step.path("until").asText("");
        long deadline = System.currentTimeMillis() + PATIENCE_MS / 4;
        do run(step, answer);
        while (!answer.get("output").asText().contains(until) && System.currentTimeMillis() < deadline);
      }
      case "produce" -> produce(step);
      case "commit" -> commit(step);
      case "join" -> {
        Member member = new Member(step);
        members.put(step.get("name").asText(), member);
        member.start();
        member.awaitPartitions(step.get("partitions").asInt());
      }
      case "leave" -> members.remove(step.get("name").asText()).leave();
      default -> throw new IllegalArgumentException("no operation " + step.get("op"));
    }
  }

  private void run(JsonNode step, ObjectNode answer) throws Exception {
    for (Map.Entry<String, JsonNode> file : step.path("files").properties())
      Files.writeString(directory.resolve(file.getKey()), file.getValue().asText());
    List<String> words = new ArrayList<>();
    step.get("words").forEach(word -> words.add(
        word.asText().replace("{bootstrap}", bootstrap).replace("{directory}", directory.toString())));
    ByteArrayOutputStream output = new ByteArrayOutputStream();
    ByteArrayOutputStream errors = new ByteArrayOutputStream();
    AtomicInteger status = new AtomicInteger(-1);
    Exit.Procedure ends = (code, message) -> {
      status.compareAndSet(-1, code);
      throw new Ended(code);
    };
    Exit.setExitProcedure(ends);
    Exit.setHaltProcedure(ends);
    Thread thread = new Thread(() -> call(step.get("main").asText(), words, status));
    System.setIn(new ByteArrayInputStream(step.path("input").asText("").getBytes(StandardCharsets.UTF_8)));
    System.setOut(new PrintStream(output, true, StandardCharsets.UTF_8));
    System.setErr(new PrintStream(errors, true, StandardCharsets.UTF_8));
    try {
      thread.setDaemon(true);
      thread.start();
      thread.join(PATIENCE_MS);
      if (thread.isAlive()) {
        status.set(-2);
        thread.interrupt();
      }
    } finally {
      System.out.flush();
      System.err.flush();
      System.setOut(replies);
      System.setErr(complaints);
    }
    answer.put("status", status.get());
    answer.put("output", output.toString(StandardCharsets.UTF_8));
    answer.put("errors", errors.toString(StandardCharsets.UTF_8));
  }

  private static void call(String main, List<String> words, AtomicInteger status) {
    try {
      Class.forName(main).getMethod("main", String[].class).invoke(null, (Object) words.toArray(new String[0]));
      status.compareAndSet(-1, 0);
    } catch (InvocationTargetException error) {
      if (!(error.getCause() instanceof Ended)) {
        status.compareAndSet(-1, 1);
        // As the JVM would, without the frames, which are the tool's own.
        System.err.println("Exception in thread \"main\" " + error.getCause());
      }
    } catch (ReflectiveOperationException error) {
      StringWriter text = new StringWriter();
      error.printStackTrace(new PrintWriter(text));
      System.err.println(text);
    }
  }

  private Properties properties() {
    Properties properties = new Properties();
    properties.put("bootstrap.servers", bootstrap);
    return properties;
  }

  /** Records with values 0, 1, 2, … and the timestamps asked for, so that lookups by time have one answer. */
  private void produce(JsonNode step) throws Exception {
    String topic = step.get("topic").asText();
    Properties properties = properties();
    properties.put("client.id", "tools-producer");
    try (KafkaProducer<String, String> producer = new KafkaProducer<>(properties, new StringSerializer(), new StringSerializer())) {
      for (int partition = 0; partition < step.get("counts").size(); partition++) {
        for (int index = 0; index < step.get("counts").get(partition).asInt(); index++) {
          long time = step.get("firstTimestamp").asLong() + index * step.get("stepMs").asLong();
          producer.send(new ProducerRecord<>(topic, partition, time, null, "value " + index)).get(30, TimeUnit.SECONDS);
        }
      }
    }
  }

  private void commit(JsonNode step) throws Exception {
    Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
    step.get("offsets").properties().forEach(entry -> offsets.put(partition(entry.getKey()), new OffsetAndMetadata(entry.getValue().asLong())));
    try (Admin admin = Admin.create(properties())) {
      admin.alterConsumerGroupOffsets(step.get("group").asText(), offsets).all().get(30, TimeUnit.SECONDS);
    }
  }

  private static TopicPartition partition(String text) {
    int dash = text.lastIndexOf('-');
    return new TopicPartition(text.substring(0, dash), Integer.parseInt(text.substring(dash + 1)));
  }

  /** A consumer that stays in its group until told to leave. */
  private final class Member extends Thread {
    private final KafkaConsumer<String, String> consumer;
    private final AtomicBoolean leaves = new AtomicBoolean();
    private final AtomicInteger assigned = new AtomicInteger();

    Member(JsonNode step) {
      super("member " + step.get("name").asText());
      Properties properties = properties();
      properties.put("client.id", step.get("name").asText());
      properties.put("enable.auto.commit", "false");
      properties.put("auto.offset.reset", "earliest");
      properties.put("max.poll.records", "1");
      step.get("settings").properties().forEach(entry -> properties.put(entry.getKey(), entry.getValue().asText()));
      consumer = new KafkaConsumer<>(properties, new StringDeserializer(), new StringDeserializer());
      if (step.has("pattern")) consumer.subscribe(new SubscriptionPattern(step.get("pattern").asText()));
      else {
        List<String> topics = new ArrayList<>();
        step.get("topics").forEach(topic -> topics.add(topic.asText()));
        consumer.subscribe(topics);
      }
    }

    @Override
    public void run() {
      try (consumer) {
        while (!leaves.get()) {
          consumer.poll(Duration.ofMillis(100));
          // What is read is not committed: only `commit` moves offsets.
          consumer.pause(consumer.assignment());
          assigned.set(consumer.assignment().size());
        }
      } catch (RuntimeException error) {
        complaints.println(getName() + ": " + error);
        assigned.set(-1);
      }
    }

    void awaitPartitions(int count) throws InterruptedException {
      long deadline = System.currentTimeMillis() + PATIENCE_MS;
      while (assigned.get() != count) {
        if (System.currentTimeMillis() > deadline || !isAlive())
          throw new IllegalStateException(getName() + " has " + assigned.get() + " partitions and not " + count);
        Thread.sleep(20);
      }
    }

    void leave() throws InterruptedException {
      leaves.set(true);
      join(PATIENCE_MS);
    }
  }
}
