/** A key's documentation as brokers send it, HTML, as plain text: a paragraph a line. */

const ENTITIES: Readonly<Record<string, string>> = {
  amp: "&",
  gt: ">",
  lt: "<",
  nbsp: " ",
  quot: '"',
  "#39": "'",
};

/** Paragraphs and list items become lines, other tags go, white space is one space. */
export function documentationText(html: string): string {
  return html
    .replaceAll(/\s+/g, " ")
    .replaceAll(/<\/?(?:p|br|ul|ol|div|pre)\b[^<>]{0,200}>/gi, "\n")
    .replaceAll(/<li\b[^<>]{0,200}>/gi, "\n- ")
    .replaceAll(/<\/?[a-z][^<>]{0,200}>/gi, "")
    .replaceAll(/&(#?\w{1,8});/g, (whole, name: string) => ENTITIES[name] ?? whole)
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "")
    .join("\n");
}
