/** Addresses as people write them: `host:port`, `host`, `[::1]:9092`, several with commas between. */

/** Where a broker listens. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

const DEFAULT_PORT = 9092;

/** Reads a `bootstrap.servers` list; null when it is none. */
export function parseAddresses(text: string): readonly Address[] | null {
  const addresses = text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "")
    .map(parseAddress);
  const good = addresses.filter((address) => address !== null);
  return good.length === 0 || good.length < addresses.length ? null : good;
}

function parseAddress(text: string): Address | null {
  const match = /^(?:\[([^\]]+)\]|([^:[\]\s/]+))(?::(\d{1,5}))?$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  if (host === undefined) return null;
  const port = match?.[3] === undefined ? DEFAULT_PORT : Number(match[3]);
  return port < 1 || port > 65_535 ? null : { host, port };
}

/** `host:port`, with brackets where the host has colons. */
export function formatAddress({ host, port }: Address): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
