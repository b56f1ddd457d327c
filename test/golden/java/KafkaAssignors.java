import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;

import org.apache.kafka.common.Uuid;
import org.apache.kafka.coordinator.group.api.assignor.ConsumerGroupPartitionAssignor;
import org.apache.kafka.coordinator.group.api.assignor.MemberAssignment;
import org.apache.kafka.coordinator.group.api.assignor.SubscribedTopicDescriber;
import org.apache.kafka.coordinator.group.api.assignor.SubscriptionType;
import org.apache.kafka.coordinator.group.assignor.RangeAssignor;
import org.apache.kafka.coordinator.group.assignor.UniformAssignor;
import org.apache.kafka.coordinator.group.modern.Assignment;
import org.apache.kafka.coordinator.group.modern.GroupSpecImpl;
import org.apache.kafka.coordinator.group.modern.MemberSubscriptionAndAssignmentImpl;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;

/**
 * Kafka's own server-side assignors as a referee for ours. Each line of the input is the life of a group: the assignor, then steps of
 * members and topics. Each line of the output is one step with what its members had before, which is Kafka's answer to the step
 * before, and Kafka's answer. Members are met in the order given, not in that of a hash table.
 */
public final class KafkaAssignors {
    private static final ObjectMapper MAPPER = new ObjectMapper();

    public static void main(String[] args) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            JsonNode life = MAPPER.readTree(line);
            String name = life.get("assignor").asText();
            ConsumerGroupPartitionAssignor assignor = name.equals("range") ? new RangeAssignor() : new UniformAssignor();
            Map<String, Map<Uuid, Set<Integer>>> last = new HashMap<>();
            for (JsonNode step : life.get("steps")) {
                ObjectNode out = (ObjectNode) step;
                out.put("assignor", name);
                last = assign(assignor, out, last);
                System.out.println(MAPPER.writeValueAsString(out));
            }
        }
    }

    private static Map<String, Map<Uuid, Set<Integer>>> assign(
        ConsumerGroupPartitionAssignor assignor,
        ObjectNode step,
        Map<String, Map<Uuid, Set<Integer>>> last
    ) {
        Map<Uuid, Integer> counts = new HashMap<>();
        step.get("topics").fields().forEachRemaining(each -> counts.put(Uuid.fromString(each.getKey()), each.getValue().asInt()));
        Map<String, MemberSubscriptionAndAssignmentImpl> members = new LinkedHashMap<>();
        Map<Uuid, Map<Integer, String>> owners = new HashMap<>();
        Set<Set<Uuid>> subscriptions = new HashSet<>();
        for (JsonNode node : step.get("members")) {
            String id = node.get("memberId").asText();
            Set<Uuid> topics = new LinkedHashSet<>();
            node.get("topics").forEach(topic -> topics.add(Uuid.fromString(topic.asText())));
            Map<Uuid, Set<Integer>> assigned = last.getOrDefault(id, Map.of());
            ((ObjectNode) node).set("assigned", toJson(assigned));
            assigned.forEach((topic, partitions) ->
                partitions.forEach(partition -> owners.computeIfAbsent(topic, each -> new HashMap<>()).put(partition, id)));
            subscriptions.add(topics);
            members.put(id, new MemberSubscriptionAndAssignmentImpl(text(node, "rackId"), text(node, "instanceId"), topics,
                new Assignment(Collections.unmodifiableMap(assigned))));
        }
        SubscriptionType type = subscriptions.size() == 1 ? SubscriptionType.HOMOGENEOUS : SubscriptionType.HETEROGENEOUS;
        Map<String, MemberAssignment> target = assignor.assign(new GroupSpecImpl(members, type, owners), new SubscribedTopicDescriber() {
            @Override
            public int numPartitions(Uuid topic) {
                return counts.getOrDefault(topic, -1);
            }

            @Override
            public Set<String> racksForPartition(Uuid topic, int partition) {
                return Set.of("rack-" + partition % 3);
            }
        }).members();
        Map<String, Map<Uuid, Set<Integer>>> next = new HashMap<>();
        ObjectNode answer = step.putObject("target");
        for (String id : members.keySet()) {
            Map<Uuid, Set<Integer>> copy = new HashMap<>();
            MemberAssignment share = target.get(id);
            if (share != null) share.partitions().forEach((topic, partitions) -> copy.put(topic, new HashSet<>(partitions)));
            next.put(id, copy);
            answer.set(id, toJson(copy));
        }
        return next;
    }

    private static Optional<String> text(JsonNode node, String name) {
        return node.get(name).isNull() ? Optional.empty() : Optional.of(node.get(name).asText());
    }

    private static ObjectNode toJson(Map<Uuid, Set<Integer>> partitions) {
        ObjectNode node = MAPPER.createObjectNode();
        Map<String, Set<Integer>> sorted = new TreeMap<>();
        partitions.forEach((topic, set) -> sorted.put(topic.toString(), new TreeSet<>(set)));
        sorted.forEach((topic, set) -> {
            ArrayNode array = node.putArray(topic);
            set.forEach(array::add);
        });
        return node;
    }
}
