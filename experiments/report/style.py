"""The pages' style sheet: light and dark, wide and narrow."""

from experiments.report import listening

STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1d2125; --soft: #57606a;
  --card: #f4f5f6; --line: #d9dde1; --gray: #555; --blue: #236ba5; --orange: #b3560f;
  --violet: #7a5ea8; }
@media (prefers-color-scheme: dark) { :root { --paper: #15181b; --ink: #e6e9eb;
  --soft: #9aa4ad; --card: #1f2428; --line: #353c42; --gray: #aab4bd; --blue: #6cb2ec;
  --orange: #f0a060; --violet: #b9a3e3; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 1000px; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.8rem; margin: 0 0 1rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; }
.result h2 { margin: 0; font-size: 1rem; text-transform: capitalize; }
p { margin: .5rem 0; } em { color: var(--soft); }
.results { display: flex; flex-wrap: wrap; gap: 1rem; margin-bottom: 1rem; }
.result { flex: 1 1 260px; background: var(--card); border-left: 6px solid;
  border-radius: 6px; padding: .8rem 1rem; }
.result strong { font-size: 1.4rem; }
.result p:last-child { color: var(--soft); margin-bottom: 0; }
.four .result { flex-basis: 200px; } .four h2 { text-transform: none; }
h3 { margin: 1rem 0 .3rem; font-size: 1rem; overflow-wrap: anywhere; }
figure { margin: 0; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr));
  gap: 0 1.4rem; }
.plots section { min-width: 0; }
.plot { background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  padding: .5rem; }
.plot svg { display: block; width: 100%; height: auto; color: var(--ink);
  stroke-linejoin: round; stroke-linecap: butt; }
.plot text { fill: currentColor; }
.caption { font-size: .92rem; color: var(--soft); }
.status { background: var(--card); border-left: 6px solid var(--orange); border-radius: 6px;
  padding: .8rem 1rem; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; }
td, th { border-bottom: 1px solid var(--line); padding: .4rem .6rem .4rem 0; text-align: left;
  vertical-align: top; overflow-wrap: anywhere; }
th { font-weight: 600; width: 9rem; }
td:not(:last-child) { overflow-wrap: normal; }
.wide { overflow-x: auto; margin: .8rem 0; }
.numbers th, .numbers td { width: auto; text-align: right; white-space: nowrap;
  padding-right: 1rem; font-variant-numeric: tabular-nums; }
.numbers th:first-child, .numbers td:first-child { text-align: left; }
.numbers th { vertical-align: bottom; white-space: normal; overflow-wrap: normal; }
nav { display: flex; flex-wrap: wrap; gap: .4rem 1.2rem; } a { color: var(--blue); }
article + article { border-top: 3px solid var(--line); margin-top: 3rem; padding-top: 2rem; }
article { margin-top: 1.5rem; }
.mark { display: inline-block; min-width: 4.6rem; padding: 0 .5rem; border-radius: 4px;
  color: #fff; text-align: center; font-size: .8rem; }
.ok { background: #2e7d4f; } .note { background: #4a6a8a; }
.warning { background: #a86410; } .error { background: #b3261e; }
pre { background: var(--card); border-radius: 6px; padding: .7rem 1rem; margin: .5rem 0;
  white-space: pre-wrap; overflow-wrap: anywhere; }
summary { cursor: pointer; color: var(--soft); }
"""
STYLE += listening.STYLE
