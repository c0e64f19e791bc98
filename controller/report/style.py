"""The style sheet of the report's page: light and dark, and narrow screens."""

CSS = """
:root { color-scheme: light dark; --ground: #ffffff; --ink: #1c2024; --soft: #5c6670;
  --line: #d9dee3; --panel: #f5f7f9; --warn: #8a5a00; --warn-ground: #fff3d6;
  --optimum: #1c2024; --predictive: #0a62a8; --predictive_measured: #3d9ad6;
  --reactive2: #b25c00; --ospf: #8a4b86; }
@media (prefers-color-scheme: dark) { :root { --ground: #14181c; --ink: #e7ebef; --soft: #a0abb5;
  --line: #333b43; --panel: #1d2329; --warn: #ffcf70; --warn-ground: #3a2e12;
  --optimum: #e7ebef; --predictive: #5aaef0; --predictive_measured: #a5d6fa;
  --reactive2: #f0a050; --ospf: #d39ad0; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 70rem; padding: 1.5rem 1rem 4rem; background: var(--ground);
  color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0; } h2 { font-size: 1.15rem; margin: 2.5rem 0 .75rem; }
p { max-width: 45rem; margin: .5rem 0; } .soft { color: var(--soft); }
.synthetic { background: var(--warn-ground); color: var(--warn); border: 1px solid currentColor;
  border-radius: .5rem; padding: .6rem .9rem; margin: 1rem 0; font-weight: 600; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(10.5rem, 1fr));
  gap: .75rem; margin: 1.25rem 0; padding: 0; }
.figures div { background: var(--panel); border-radius: .5rem; padding: .75rem .9rem; }
.figures dt { color: var(--soft); font-size: .85rem; }
.figures dd { margin: 0; font-size: 1.5rem; font-weight: 650; font-variant-numeric: tabular-nums; }
.figures small { display: block; font-size: .8rem; font-weight: 400; color: var(--soft); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .35rem .6rem; border-bottom: 1px solid var(--line);
  white-space: nowrap; vertical-align: top; }
th { font-weight: 600; color: var(--soft); font-size: .85rem; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
td small { display: block; color: var(--soft); white-space: normal; min-width: 12rem; }
tr.ours td { font-weight: 600; } tr.ours small { font-weight: 400; }
.bar { display: inline-block; width: 5rem; height: .6rem; background: var(--line);
  border-radius: 2px; margin-right: .5rem; overflow: hidden; }
.bar i { display: block; height: 100%; background: var(--predictive); }
.bar i.counted { background: var(--predictive_measured); }
.legend { display: flex; flex-wrap: wrap; gap: .3rem 1.25rem; padding: 0; margin: 0 0 .75rem;
  list-style: none; font-size: .9rem; }
.legend svg { width: 2rem; height: .6rem; margin-right: .4rem; vertical-align: middle; }
.chart { display: grid; grid-template-columns: 3.5rem 1fr; }
.chart .y { position: relative; height: 18rem; font-size: .8rem; color: var(--soft); }
.chart .y span { position: absolute; right: .5rem; transform: translateY(50%);
  white-space: nowrap; }
.chart svg { width: 100%; height: 18rem; overflow: visible; }
.chart .x { grid-column: 2; display: flex; justify-content: space-between; font-size: .8rem;
  color: var(--soft); padding-top: .3rem; }
.grid { stroke: var(--line); stroke-width: 1; } .full { stroke: var(--ink); stroke-width: 1;
  stroke-dasharray: 2 3; }
polyline { fill: none; stroke-width: 2; }
.optimum { stroke: var(--optimum); stroke-dasharray: 1 4; stroke-linecap: round; }
.predictive { stroke: var(--predictive); stroke-width: 2.5; }
.predictive_measured { stroke: var(--predictive_measured); stroke-dasharray: 6 4; }
.reactive2 { stroke: var(--reactive2); } .ospf { stroke: var(--ospf); stroke-dasharray: 10 3; }
.chart *, .legend line { vector-effect: non-scaling-stroke; }
ol.decisions { list-style: none; padding: 0; margin: 0; }
.decisions li { display: grid; grid-template-columns: 4.5rem 1fr; gap: .5rem; padding: .5rem 0;
  border-bottom: 1px solid var(--line); }
.decisions p { margin: 0; overflow-wrap: anywhere; } .decisions .soft { font-size: .85rem; }
summary { cursor: pointer; font-weight: 600; padding: .5rem 0; }
"""
