/**
 * Listener addresses: `NAME://host:port`, several separated by commas, each name mapped to a security protocol.
 */

/** One address, as configured. An empty host means all interfaces. */
export interface Listener {
  /** Upper-case listener name. */
  readonly name: string;
  readonly host: string;
  readonly port: number;
  /** `PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`. */
  readonly securityProtocol: string;
}

/** Listeners, or the sentence that says why there are none. */
export type ListenersResult =
  | { readonly listeners: readonly Listener[]; readonly error: null }
  | { readonly listeners: null; readonly error: string };

const ADDRESS = /^([A-Za-z0-9_-]+):\/\/(\[[0-9a-fA-F:%.]+\]|[^:[\]/]*):(\d{1,5})$/;
const PROTOCOLS: ReadonlySet<string> = new Set(["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]);

/**
 * Reads a list of addresses.
 *
 * @param protocols - listener name to security protocol, from {@link parseProtocolMap}.
 */
export function parseListeners(
  key: string,
  addresses: readonly string[],
  protocols: ReadonlyMap<string, string>,
): ListenersResult {
  const listeners: Listener[] = [];
  const fail = (why: string): ListenersResult => ({ listeners: null, error: `${key}: ${why}` });
  for (const address of addresses) {
    const match = ADDRESS.exec(address.trim());
    if (match === null) return fail(`'${address}' is not of the form NAME://host:port`);
    const [, name = "", host = "", portText = ""] = match;
    const port = Number(portText);
    const listenerName = name.toUpperCase();
    if (port > 65535) return fail(`port ${port} of '${address}' is above 65535`);
    const securityProtocol = protocols.get(listenerName);
    if (securityProtocol === undefined) {
      return fail(`no security protocol is mapped to listener ${listenerName}`);
    }
    if (listeners.some((listener) => listener.name === listenerName)) {
      return fail(`listener name ${listenerName} appears twice`);
    }
    const bareHost = host.startsWith("[") ? host.slice(1, -1) : host;
    const clash = listeners.find(
      (other) => other.port === port && port !== 0 && other.host === bareHost,
    );
    if (clash !== undefined) return fail(`${clash.name} and ${listenerName} share port ${port}`);
    listeners.push({ name: listenerName, host: bareHost, port, securityProtocol });
  }
  return { listeners, error: null };
}

/** The map of listener names to protocols, or what is wrong with its text `NAME:PROTOCOL,…`. */
export type ProtocolMapResult =
  | { readonly protocols: ReadonlyMap<string, string>; readonly error: null }
  | { readonly protocols: null; readonly error: string };

/** Reads `listener.security.protocol.map`. */
export function parseProtocolMap(text: string): ProtocolMapResult {
  const protocols = new Map<string, string>();
  for (const entry of text.split(",")) {
    if (entry.trim() === "") continue;
    const [name = "", protocol = ""] = entry.split(":").map((part) => part.trim().toUpperCase());
    if (name === "" || !PROTOCOLS.has(protocol)) {
      return { protocols: null, error: `listener.security.protocol.map: cannot read '${entry}'` };
    }
    protocols.set(name, protocol);
  }
  return { protocols, error: null };
}
