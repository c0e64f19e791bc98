"""The style sheet of the report's page: light and dark, and narrow screens."""

CSS = """
:root { color-scheme: light dark; --ground: #ffffff; --ink: #1c2024; --soft: #5c6670;
  --line: #d9dee3; --panel: #f5f7f9; --warn: #8a5a00; --warn-ground: #fff3d6;
  --optimum: #1c2024; --predictive: #0a62a8; --predictive_measured: #3d9ad6;
  --reactive2: #b25c00; --ospf: #8a4b86;
  --u0: #9fbdd6; --u1: #5c95c6; --u2: #2264a3; --u3: #e39a2e; --u4: #cc5310; --u5: #851616;
  --none: #aab3bc; }
@media (prefers-color-scheme: dark) { :root { --ground: #14181c; --ink: #e7ebef; --soft: #a0abb5;
  --line: #333b43; --panel: #1d2329; --warn: #ffcf70; --warn-ground: #3a2e12;
  --optimum: #e7ebef; --predictive: #5aaef0; --predictive_measured: #a5d6fa;
  --reactive2: #f0a050; --ospf: #d39ad0;
  --u0: #41607b; --u1: #4f8cbf; --u2: #8cc4f2; --u3: #f2bb57; --u4: #f5813a; --u5: #ff5252;
  --none: #55606b; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 70rem; padding: 1.5rem 1rem 4rem; background: var(--ground);
  color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0; } h2 { font-size: 1.15rem; margin: 2.5rem 0 .75rem; }
h3 { font-size: 1rem; margin: 1.5rem 0 .5rem; }
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
.sent { stroke: var(--ink); } .median { stroke: var(--predictive); stroke-dasharray: 6 4; }
.outer, .inner { fill: var(--predictive); fill-opacity: .16; } .inner { fill-opacity: .3; }
.moved { fill: var(--predictive_measured); }
.event { stroke: var(--reactive2); stroke-dasharray: 4 3; }
.u0 { --use: var(--u0); } .u1 { --use: var(--u1); } .u2 { --use: var(--u2); }
.u3 { --use: var(--u3); } .u4 { --use: var(--u4); } .u5 { --use: var(--u5); }
.un { --use: var(--none); } rect[class^="u"] { fill: var(--use); }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(26rem, 100%), 1fr));
  gap: .5rem 1.5rem; } .pair p { margin: 0 0 .5rem; } .pair .y, .pair .chart svg { height: 11rem; }
.maps { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(20rem, 100%), 1fr));
  gap: 1rem; }
.maps figure { margin: 0; background: var(--panel); border-radius: .5rem; padding: .5rem; }
.maps figcaption { font-size: .85rem; color: var(--soft); text-align: center; }
.maps svg { width: 100%; display: block; } .maps path { stroke: var(--use); stroke-width: 2.6; }
.maps .soon { stroke-dasharray: 5 2; } .maps circle { fill: var(--ink); }
.maps text { font-size: 11.5px; fill: var(--ink); paint-order: stroke; stroke: var(--panel);
  stroke-width: 3px; stroke-linejoin: round; }
.strip { width: 8rem; height: 1.2rem; display: block; margin-left: auto; }
.chart *, .legend line { vector-effect: non-scaling-stroke; }
ol.decisions { list-style: none; padding: 0; margin: 0; }
.decisions li { display: grid; grid-template-columns: 4.5rem 1fr; gap: .5rem; padding: .5rem 0;
  border-bottom: 1px solid var(--line); }
.decisions p { margin: 0; overflow-wrap: anywhere; } .decisions .soft { font-size: .85rem; }
summary { cursor: pointer; font-weight: 600; padding: .5rem 0; }
"""
