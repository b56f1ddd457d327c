/** Names that all of a simulated cluster goes by. */
export const CLUSTER_ID = "SimulatedClusterAAAAAA";
/** The one topic there is. */
export const TOPIC = "t";
