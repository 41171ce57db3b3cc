"""Colours and strokes: one palette for paper and one for dark screens, chosen by the reader's settings."""

from __future__ import annotations

from sim.picture.metrics import FAMILY

LIGHT = {
    "paper": "#ffffff",
    "block": "#f5f7fa",
    "ink": "#1b2430",
    "soft": "#566273",
    "faint": "#b4bdc9",
    "grid": "#e3e8ee",
    "lane": "#3d4a5c",
    "arrow": "#7c899b",
    "use": "#1f5fd0",
    "trouble": "#b4490a",
    "repair": "#16753f",
    "broken": "#c81e2c",
    "batch": "#8ea3c7",
    "fsync": "#2b8a83",
    "cut": "#f3a712",
    "cutoff": "#855300",
    "down": "#e5484d",
}
DARK = {
    "paper": "#0f141b",
    "block": "#171e28",
    "ink": "#e6ebf2",
    "soft": "#a2aebd",
    "faint": "#4b586a",
    "grid": "#222b37",
    "lane": "#b9c4d2",
    "arrow": "#7f8da0",
    "use": "#7fb0ff",
    "trouble": "#ffa35c",
    "repair": "#5fd394",
    "broken": "#ff6b74",
    "batch": "#5d76a3",
    "fsync": "#4fc1b8",
    "cut": "#f5b83d",
    "cutoff": "#f5c669",
    "down": "#ff6b70",
}


def _palette(colours: dict[str, str]) -> str:
    return "".join(f"--{name}:{value};" for name, value in colours.items())


DRAWING = f"""
.weave{{{_palette(LIGHT)}font-family:{FAMILY};}}
@media (prefers-color-scheme:dark){{.weave{{{_palette(DARK)}}}}}
@media print{{.weave{{{_palette(LIGHT)}}}}}
.weave text{{font-size:11px;fill:var(--ink);}}
.weave path{{fill:none;stroke-linecap:round;stroke-linejoin:round;}}
.weave .paper{{fill:var(--paper);}}
.weave .block{{fill:var(--block);}}
.weave .name{{font-size:14px;font-weight:bold;}}
.weave .small{{font-size:10px;fill:var(--soft);}}
.weave .centre{{text-anchor:middle;}}
.weave .title{{font-size:21px;font-weight:bold;}}
.weave .story{{font-size:13px;fill:var(--soft);}}
.weave .grid{{stroke:var(--grid);}}
.weave .axis{{stroke:var(--faint);}}
.weave .tick{{font-size:10.5px;fill:var(--soft);text-anchor:middle;}}
.weave .elapsed{{font-size:10.5px;font-style:italic;fill:var(--soft);text-anchor:middle;}}
.weave .silence{{stroke:var(--faint);stroke-width:2;stroke-dasharray:0 5;}}
.weave .isolated{{font-size:10px;fill:var(--cutoff);}}
.weave .lane{{stroke:var(--lane);stroke-width:2.2;}}
.weave .faint{{stroke:var(--faint);}}
.weave .absent{{stroke:var(--faint);stroke-width:2;stroke-dasharray:1 6;}}
.weave .down{{fill:var(--down);fill-opacity:.17;stroke:var(--down);stroke-opacity:.55;}}
.weave text.lost{{font-size:10px;fill:var(--broken);}}
.weave path.lost{{stroke:var(--broken);stroke-width:2;}}
.weave .cut{{fill:var(--cut);fill-opacity:.16;}}
.weave .edge{{stroke:var(--cut);stroke-dasharray:3 3;}}
.weave .arrow{{stroke:var(--arrow);stroke-width:1.1;stroke-opacity:.85;}}
.weave .bundle{{stroke:var(--arrow);stroke-width:2.6;}}
.weave .waits{{stroke:var(--arrow);stroke-width:1.15;stroke-dasharray:3 3;}}
.weave .held{{fill:var(--paper);stroke:var(--cut);stroke-width:1.8;}}
.weave .flight:hover path{{stroke:var(--use);stroke-width:2.4;}}
.weave .count{{fill:var(--paper);stroke:var(--arrow);}}
.weave .number{{font-size:10px;font-weight:bold;fill:var(--soft);}}
.weave .batch{{fill:var(--batch);}}
.weave rect.trouble{{fill:var(--trouble);}}
.weave .write{{stroke:var(--fsync);stroke-width:1.6;stroke-opacity:.55;}}
.weave .fsync{{stroke:var(--fsync);stroke-width:2;}}
.weave .unsaved{{fill:var(--paper);stroke:var(--fsync);stroke-width:1.8;}}
.weave .answer{{fill:var(--repair);stroke:var(--block);stroke-width:1.2;}}
.weave .dot{{fill:var(--broken);stroke:var(--block);stroke-width:1.2;}}
.weave .pole{{stroke:var(--soft);}}
.weave .flag{{fill:var(--paper);stroke:var(--faint);}}
.weave .caption{{font-size:11px;}}
.weave .mark{{fill:var(--soft);stroke:var(--block);stroke-width:1.4;}}
.weave .pole.use,.weave .flag.use{{stroke:var(--use);}}
.weave .caption.use,.weave .mark.use{{fill:var(--use);}}
.weave .pole.trouble,.weave .pole.warning,.weave .flag.trouble,.weave .flag.warning{{stroke:var(--trouble);}}
.weave rect.flag.trouble{{fill:var(--paper);}}
.weave .caption.trouble,.weave .caption.warning,.weave .mark.trouble,.weave .mark.warning{{fill:var(--trouble);}}
.weave .pole.repair,.weave .flag.repair,.weave .pole.kept,.weave .rule.kept{{stroke:var(--repair);}}
.weave .caption.repair,.weave .mark.repair,.weave .mark.kept{{fill:var(--repair);}}
.weave .pole.refusal,.weave .flag.refusal,.weave .pole.broken,.weave .rule.broken{{stroke:var(--broken);}}
.weave .caption.refusal,.weave .mark.refusal,.weave .mark.broken{{fill:var(--broken);}}
.weave .caption.quiet{{fill:var(--soft);}}
.weave .flag.kept{{fill:var(--repair);stroke:var(--repair);}}
.weave .flag.broken{{fill:var(--broken);stroke:var(--broken);}}
.weave .caption.kept,.weave .caption.broken{{fill:var(--paper);font-weight:bold;}}
.weave .rule{{stroke-width:2;}}
.weave .rule.quiet{{stroke:var(--soft);stroke-width:1;stroke-dasharray:2 4;}}
.weave .promise{{font-size:13px;}}
.weave .strong{{font-size:15px;font-weight:bold;}}
.weave .strong.kept{{fill:var(--repair);}}
.weave .strong.broken{{fill:var(--broken);}}
.weave rect.card{{fill:var(--block);}}
.weave .verdict.kept{{fill:var(--repair);}}
.weave .verdict.broken{{fill:var(--broken);}}
"""
"""What a drawing needs, alone or in a page."""

PAGE = """
html{color-scheme:light dark;}
body.weave{margin:0;background:var(--paper);color:var(--ink);font-size:15px;line-height:1.5;}
main{max-width:1440px;margin:0 auto;padding:36px 32px 48px;}
h1{font-size:30px;line-height:1.2;margin:0 0 8px;letter-spacing:-.01em;}
.lead{font-size:17px;color:var(--soft);margin:0 0 20px;max-width:75ch;}
.card{border-left:5px solid;border-radius:4px;background:var(--block);padding:12px 18px;margin:0 0 32px;}
.card strong{font-size:18px;}
.card p{margin:4px 0 0;max-width:110ch;overflow-wrap:anywhere;}
.card.kept{border-color:var(--repair);}
.card.kept strong{color:var(--repair);}
.card.broken{border-color:var(--broken);}
.card.broken strong{color:var(--broken);}
.soft,footer{color:var(--soft);}
figure{margin:0 0 28px;break-inside:avoid;}
figure svg{display:block;height:auto;min-width:760px;}
figure.legend{border-top:1px solid var(--grid);padding-top:16px;margin-bottom:16px;}
footer{font-size:13px;}
footer p{margin:4px 0;overflow-wrap:anywhere;}
details{margin:10px 0;}
summary{cursor:pointer;color:var(--use);}
pre{font:12px/1.45 ui-monospace,Menlo,Consolas,'Liberation Mono',monospace;overflow-x:auto;color:var(--ink);
background:var(--block);border-radius:4px;padding:14px 16px;}
@media (max-width:800px){main{padding:20px 12px;}figure{overflow-x:auto;}}
@media print{@page{size:A4 landscape;margin:10mm;}html{color-scheme:light;}main{padding:0;max-width:none;}
details{display:none;}body.weave{font-size:11px;}h1{font-size:22px;}}
"""
"""What a page needs besides."""
