import java.util.List;
import java.util.Map;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.coordinator.group.GroupConfig;
import org.apache.kafka.server.config.AbstractKafkaConfig;
import org.apache.kafka.server.config.DynamicBrokerConfig;
import org.apache.kafka.server.metrics.ClientMetricsConfigs;
import org.apache.kafka.storage.internals.log.LogConfig;

/**
 * Prints every configuration key Kafka knows, one a line with tabs between: table, name, type, default (empty for none), valid
 * values, "internal" or empty, update mode. Run from the repository's root, it makes the file the unit test compares with:
 *
 *   java -cp "$KAFKA_LIBS/*" test/golden/java/KafkaConfigKeys.java > test/golden/config-keys.tsv
 */
public class KafkaConfigKeys {
    public static void main(String[] arguments) {
        print("broker", AbstractKafkaConfig.CONFIG_DEF, DynamicBrokerConfig.dynamicConfigUpdateModes());
        print("topic", LogConfig.configDefCopy(), Map.of());
        print("group", GroupConfig.CONFIG_DEF, Map.of());
        print("client-metrics", ClientMetricsConfigs.configDef(), Map.of());
    }

    private static void print(String table, ConfigDef definition, Map<String, ?> updateModes) {
        for (ConfigDef.ConfigKey key : definition.configKeys().values()) {
            String byDefault = key.hasDefault() && key.defaultValue != null
                ? ConfigDef.convertToString(key.defaultValue, key.type) : "";
            Object update = updateModes.get(key.name);
            System.out.println(String.join("\t", List.of(
                table, key.name, key.type.name().toLowerCase(), byDefault,
                key.validator == null ? "" : key.validator.toString(),
                key.internalConfig ? "internal" : "",
                update == null ? "read-only" : update.toString())));
        }
    }
}
