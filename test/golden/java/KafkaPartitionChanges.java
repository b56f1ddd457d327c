import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;

import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.metadata.PartitionChangeRecord;
import org.apache.kafka.controller.PartitionChangeBuilder;
import org.apache.kafka.metadata.LeaderRecoveryState;
import org.apache.kafka.metadata.PartitionRegistration;
import org.apache.kafka.server.common.ApiMessageAndVersion;
import org.apache.kafka.server.common.MetadataVersion;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.Consumer;

/**
 * Kafka's own rule of how a partition changes, as a referee for ours. Each line of the input is a partition, what is wished for and who
 * serves; each line of the output adds the record that Kafka's controller writes, or null.
 */
public final class KafkaPartitionChanges {
    private static final ObjectMapper MAPPER = new ObjectMapper();
    private static final Uuid TOPIC = new Uuid(7L, 7L);

    public static void main(String[] args) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            ObjectNode sample = (ObjectNode) MAPPER.readTree(line);
            Optional<ApiMessageAndVersion> record = change(sample);
            sample.set("record", record.map(r -> describe((PartitionChangeRecord) r.message())).orElse(null));
            System.out.println(MAPPER.writeValueAsString(sample));
        }
    }

    private static Optional<ApiMessageAndVersion> change(JsonNode sample) {
        JsonNode before = sample.get("before");
        JsonNode goal = sample.get("goal");
        List<Integer> serving = list(sample.get("serving"));
        int[] replicas = array(before.get("replicas"));
        Uuid[] directories = new Uuid[replicas.length];
        for (int i = 0; i < replicas.length; i++) directories[i] = Uuid.ZERO_UUID;
        PartitionRegistration partition = new PartitionRegistration.Builder()
            .setReplicas(replicas)
            .setDirectories(directories)
            .setIsr(array(before.get("isr")))
            .setRemovingReplicas(array(before.get("removing")))
            .setAddingReplicas(array(before.get("adding")))
            .setElr(array(before.get("elr")))
            .setLastKnownElr(array(before.get("lastKnownElr")))
            .setLeader(before.get("leader").asInt())
            .setLeaderRecoveryState(LeaderRecoveryState.of((byte) before.get("leaderRecoveryState").asInt()))
            .setLeaderEpoch(3)
            .setPartitionEpoch(5)
            .build();
        PartitionChangeBuilder builder = new PartitionChangeBuilder(
            partition, TOPIC, 0, serving::contains, MetadataVersion.latestProduction(),
            sample.get("minIsr").asInt(), sample.get("hasElr").asBoolean());
        builder.setElection(switch (goal.get("election").asText()) {
            case "preferred" -> PartitionChangeBuilder.Election.PREFERRED;
            case "unclean" -> PartitionChangeBuilder.Election.UNCLEAN;
            default -> PartitionChangeBuilder.Election.ONLINE;
        });
        given(goal, "isr", builder::setTargetIsr);
        given(goal, "replicas", builder::setTargetReplicas);
        given(goal, "adding", builder::setTargetAdding);
        given(goal, "removing", builder::setTargetRemoving);
        given(goal, "uncleanReplicas", builder::setUncleanShutdownReplicas);
        if (goal.has("leaderRecoveryState")) {
            builder.setTargetLeaderRecoveryState(LeaderRecoveryState.of((byte) goal.get("leaderRecoveryState").asInt()));
        }
        return builder.setDefaultDirProvider(id -> Uuid.ZERO_UUID).build();
    }

    private static ObjectNode describe(PartitionChangeRecord record) {
        ObjectNode node = MAPPER.createObjectNode();
        node.put("leader", record.leader());
        node.put("leaderRecoveryState", record.leaderRecoveryState());
        put(node, "isr", record.isr());
        put(node, "replicas", record.replicas());
        put(node, "addingReplicas", record.addingReplicas());
        put(node, "removingReplicas", record.removingReplicas());
        put(node, "eligibleLeaderReplicas", record.eligibleLeaderReplicas());
        put(node, "lastKnownElr", record.lastKnownElr());
        return node;
    }

    private static void put(ObjectNode node, String name, List<Integer> ids) {
        if (ids == null) {
            node.putNull(name);
            return;
        }
        ArrayNode array = node.putArray(name);
        ids.forEach(array::add);
    }

    private static void given(JsonNode goal, String name, Consumer<List<Integer>> set) {
        if (goal.has(name)) set.accept(list(goal.get(name)));
    }

    private static List<Integer> list(JsonNode array) {
        List<Integer> ids = new ArrayList<>();
        array.forEach(id -> ids.add(id.asInt()));
        return ids;
    }

    private static int[] array(JsonNode array) {
        return list(array).stream().mapToInt(Integer::intValue).toArray();
    }
}
