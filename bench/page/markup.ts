/** Markup that is safe to put text into: everything that is not already markup is escaped. */

/** Text as HTML or SVG. */
export const escaped = (text: string): string =>
  text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");

/**
 * A table that scrolls by itself on a narrow screen. Cells are text; those of all columns but the first `textColumns` (one, unless told) are set
 * like numbers.
 */
export function table(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  textColumns = 1,
): string {
  const line = (cells: readonly string[], tag: "th" | "td"): string =>
    `<tr>${cells
      .map((cell, column) => {
        const kind = column < textColumns ? ' class="text"' : "";
        return `<${tag}${kind}>${escaped(cell)}</${tag}>`;
      })
      .join("")}</tr>`;
  return `<div class="scroll"><table><thead>${line(head, "th")}</thead><tbody>${rows
    .map((row) => line(row, "td"))
    .join("")}</tbody></table></div>`;
}
