/** What the configuration says about SWIM. */
import type { BrokerSettings } from "#config/broker-settings.ts";
import type { SwimProfile } from "./swim.ts";

/** @param controllerPort - of this node's controller listener: the UDP port has its number unless another is configured. */
export function swimSettings(
  settings: Pick<BrokerSettings, "sluiceSwimProfile" | "sluiceSwimPort">,
  controllerPort: number,
): { readonly profile: SwimProfile; readonly port: number } {
  const port = settings.sluiceSwimPort;
  return { profile: settings.sluiceSwimProfile, port: port === 0 ? controllerPort : port };
}

/** From a suspicion until SWIM calls the suspect down, ms: the time it has to show over TCP that it lives. As in the addon's profiles. */
export const suspicionMs: Readonly<Record<SwimProfile, number>> = { default: 600, fast: 500 };
