/** Who a group member is to the coordinator, from the connection it speaks on. */
import type { GroupCaller } from "#coordinator/group/messages.ts";
import type { RequestContext } from "./handler.ts";

/** Client id and address in the form Kafka stores and shows: `/127.0.0.1`. */
export function groupCaller(context: RequestContext): GroupCaller {
  return {
    clientId: context.clientId ?? "",
    clientHost: `/${context.connection.clientHost}`,
  };
}
