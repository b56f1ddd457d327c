/**
 * Whether a text is an IP address in figures, as those who write configurations write it: `10.0.0.1`, the short forms `10.1` and
 * `167772161`, `2001:db8::1`, `[::1]`, `::ffff:10.0.0.1`. No name is ever looked up.
 */

/** True for an IPv4 address of one to four parts or an IPv6 address, in brackets or without. */
export function isIpAddress(text: string): boolean {
  if (text.startsWith("[") && text.endsWith("]")) return isIpv6(text.slice(1, -1));
  return isIpv4(text, 1) || isIpv6(text);
}

/** The last part takes the bytes that the parts before it leave. */
function isIpv4(text: string, minParts: number): boolean {
  const parts = text.split(".");
  if (parts.length < minParts || parts.length > 4) return false;
  return parts.every((part, index) => {
    const bytes = index === parts.length - 1 ? 5 - parts.length : 1;
    return /^\d{1,10}$/.test(part) && Number(part) < 256 ** bytes;
  });
}

function isIpv6(text: string): boolean {
  const halves = text.split("::");
  if (halves.length > 2) return false;
  let groups = 0;
  for (const [half, content] of halves.entries()) {
    if (content === "") continue;
    const parts = content.split(":");
    const isLastHalf = half === halves.length - 1;
    for (const [index, part] of parts.entries()) {
      const isLast = isLastHalf && index === parts.length - 1;
      if (/^[0-9a-fA-F]{1,4}$/.test(part)) groups += 1;
      else if (isLast && isIpv4(part, 4)) groups += 2;
      else return false;
    }
  }
  return halves.length === 2 ? groups < 8 : groups === 8;
}
