/** The style sheet of the page: one column on a phone, plots side by side where there is room, light and dark. */

/** CSS, put into the page. */
export const style: string = `
:root { color-scheme: light dark; --back: #fbfbfa; --card: #ffffff; --text: #1c2024; --dim: #5b636b; --line: #d9dde1; --grid: #e7eaed;
  --first: #1668d6; --second: #d9660b; --third: #7a3fb5; --fourth: #0b8a6a; --limit: #7b858f; --good: #12794a; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --back: #14171a; --card: #1c2024; --text: #e8eaec; --dim: #a2abb4; --line: #343a40; --grid: #2a2f34;
  --first: #6cb0ff; --second: #ffa05c; --third: #c79bf2; --fourth: #4fd1ac; --limit: #97a1ab; --good: #5fd39a; --bad: #ff8a80; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.2rem 1rem 4rem; max-width: 1180px; background: var(--back); color: var(--text);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0.4rem 0; }
h2 { font-size: 1.2rem; margin: 2.4rem 0 0.3rem; padding-top: 0.6rem; border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.4rem 0 0.3rem; }
h4 { font-size: 0.86rem; font-weight: 600; margin: 0 0 0.25rem; overflow-wrap: anywhere; }
p { margin: 0.4rem 0; max-width: 75ch; }
.dim, .legend, figcaption, .who, footer { color: var(--dim); }
code, pre { font: 0.85em ui-monospace, SFMono-Regular, Menlo, monospace; overflow-wrap: anywhere; }
pre { overflow-x: auto; background: var(--card); border: 1px solid var(--line); border-radius: 6px; padding: 0.7rem; }
.legend { display: flex; flex-wrap: wrap; gap: 0.2rem 1.2rem; font-size: 0.86rem; position: sticky; top: 0; background: var(--back); padding: 0.4rem 0; z-index: 1; max-width: none; }
.key i { display: inline-block; width: 0.85rem; height: 0.85rem; border-radius: 2px; margin-right: 0.4rem; vertical-align: -0.1rem; }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 340px), 1fr)); gap: 1rem; margin: 0.8rem 0; }
figure { margin: 0; background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 0.6rem; }
figcaption { font-size: 0.84rem; margin-bottom: 0.2rem; overflow-wrap: anywhere; }
svg { display: block; width: 100%; height: auto; }
svg text { font: 11px system-ui, sans-serif; fill: var(--dim); }
svg .axis { fill: var(--text); }
.grid { stroke: var(--grid); stroke-width: 1; }
.ideal { fill: none; stroke: var(--dim); stroke-width: 1; stroke-dasharray: 1 3; }
polyline { fill: none; stroke-width: 2; stroke-linejoin: round; }
${["first", "second", "third", "fourth", "limit"]
  .map(
    (name) =>
      `.fill-${name} { fill: var(--${name}); background: var(--${name}); } .line-${name} { stroke: var(--${name}); }`,
  )
  .join("\n")}
.bars { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 440px), 1fr)); gap: 0.9rem 1.6rem; margin: 0.8rem 0; }
.bar { display: grid; grid-template-columns: 4.2rem 1fr 7.6rem; gap: 0.5rem; align-items: center; font-size: 0.82rem; line-height: 1.45; }
.track { position: relative; height: 0.8rem; background: var(--grid); border-radius: 2px; }
.track i { position: absolute; left: 0; top: 0; bottom: 0; border-radius: 2px; }
.track .goal { width: 2px; background: var(--text); top: -2px; bottom: -2px; border-radius: 0; }
.who { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.value { font-variant-numeric: tabular-nums; }
.note { font-weight: 400; color: var(--dim); margin-left: 0.6rem; }
.met { color: var(--good); } .missed { color: var(--bad); } .open { color: var(--second); }
.scroll { overflow-x: auto; margin: 0.6rem 0; }
table { border-collapse: collapse; font-size: 0.84rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.25rem 0.7rem 0.25rem 0; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
thead th { white-space: normal; vertical-align: bottom; } th.text, td.text { text-align: left; } th { color: var(--dim); font-weight: 600; }
.goals tr > :nth-child(5) { text-align: left; white-space: normal; min-width: 17rem; padding-left: 0.7rem; }
@media (max-width: 640px) { td.text { white-space: normal; overflow-wrap: anywhere; min-width: 6.5rem; } }
details { margin: 0.8rem 0; } summary { cursor: pointer; }
`;
