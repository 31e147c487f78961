"""The agent's own page, for whoever has a browser and no Grafana: one file, nothing from elsewhere.

It is written whole by the server, so that it needs no script to be read; a few lines of script
renew it in place. A screen reader is not told of every change, but for the health: that is a
status, and is told when it changes.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape

from agent.contract.status import CaseView, StatusView

CASES_SHOWN = 50
RENEW_SECONDS = 5

STYLE = """
:root { color-scheme: light dark; --line: #8884; --good: #1a7f37; --bad: #c62828; }
@media (prefers-color-scheme: dark) { :root { --good: #4caf50; --bad: #ff6b60; } }
body { font: 16px/1.45 system-ui, sans-serif; margin: 0 auto; max-width: 70rem; }
header, main { padding: 0 1rem; }
h1 { font-size: 1.4rem; margin: 1rem 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 1.5rem 0 .25rem; }
#health { font-weight: 600; margin: 0; overflow-wrap: anywhere; }
#health.well { color: var(--good); } #health.ailing { color: var(--bad); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .75rem .3rem 0; text-align: left; }
td { font-variant-numeric: tabular-nums; }
[aria-labelledby="cases"] td:last-child { min-width: 16rem; }
dl { display: grid; gap: .1rem 1rem; grid-template-columns: max-content 1fr; margin: .5rem 0; }
dd { margin: 0; overflow-wrap: anywhere; }
"""

SCRIPT = f"""
const health = document.getElementById("health");
const show = (text, name) => {{
  if (health.textContent !== text) health.textContent = text;
  health.className = name;
}};
const renew = async () => {{
  try {{
    const reply = await fetch(location.pathname, {{ cache: "no-store" }});
    const page = new DOMParser().parseFromString(await reply.text(), "text/html");
    const said = page.getElementById("health");
    show(said.textContent, said.className);
    document.querySelector("main").innerHTML = page.querySelector("main").innerHTML;
  }} catch {{
    show("the agent does not answer", "ailing");
  }}
}};
setInterval(renew, {RENEW_SECONDS * 1000});
"""


@dataclass(frozen=True, slots=True)
class DimmLine:
    """A DIMM: `errors` are those that this life of the agent counted."""

    label: str
    identity: str
    errors: int
    pages: int


@dataclass(frozen=True, slots=True)
class Glance:
    """All that the page tells, at one moment."""

    at_ns: int
    mode: str
    status: StatusView
    cases: tuple[CaseView, ...]
    dimms: tuple[DimmLine, ...]
    pages_per_rank_max: int
    pages_taken: int
    pages_max: int


def page(glance: Glance) -> str:
    status = glance.status
    return _whole(status.host, status.ailments, "\n".join(_main(glance)))


def page_without(ailments: Iterable[str]) -> str:
    """While there is nothing to tell but why."""
    return _whole("pagewarden", ailments, "<p>There is nothing more to be told now.</p>")


def _whole(host: str, ailments: Iterable[str], main: str) -> str:
    ailing = "; ".join(ailments)
    health = f"ailing: {ailing}" if ailing else "well"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(host)}: pagewarden</title>
<noscript><meta http-equiv="refresh" content="30"></noscript>
<style>{STYLE}</style>
</head>
<body>
<header>
<h1>{escape(host)}</h1>
<p id="health" role="status" class="{"ailing" if ailing else "well"}">{escape(health)}</p>
</header>
<main>
{main}
</main>
<script>{SCRIPT}</script>
</body>
</html>
"""


def _main(glance: Glance) -> Iterator[str]:
    yield "<dl>"
    for name, value in _facts(glance):
        yield f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>"
    yield "</dl>"
    most = glance.pages_per_rank_max
    yield from _table(
        "DIMMs",
        ("DIMM", "Errors seen", f"Fullest rank, of {most} pages", "Part and serial"),
        [(d.label, f"{d.errors:,}", f"{d.pages:,}", d.identity) for d in glance.dimms],
    )
    yield from _table(
        "Pages nearest to their threshold",
        ("Page", "Errors", "Threshold"),
        [(f"{p.mfn:#x}", str(p.errors), str(p.threshold)) for p in glance.status.hot_pages],
    )
    yield from _table("Cases", ("Case", "Page", "State", "Used as", "DIMM", "Why"), _cases(glance))


def _facts(glance: Glance) -> Iterator[tuple[str, str]]:
    status, pauses = glance.status, glance.status.guest_pauses_seconds
    yield "As of", f"{datetime.fromtimestamp(glance.at_ns / 1e9, UTC):%Y-%m-%d %H:%M:%S} UTC"
    yield "Mode", glance.mode
    yield "Errors", f"{status.errors:,} in {status.ereports:,} ereports; {status.missing:,} missing"
    yield "Cases", ", ".join(f"{count:,} {rest}" for rest, count in status.cases.items())
    yield "Pages taken", f"{glance.pages_taken:,} of the {glance.pages_max:,} that may be"
    yield "Guest pauses", f"{pauses.count:,}, longest {pauses.max:.3f} s, median {pauses.p50:.3f} s"
    yield "DIMMs to replace", ", ".join(worn.dimm for worn in status.replace_dimms) or "none"


def _cases(glance: Glance) -> list[tuple[str, ...]]:
    return [
        (c.id, f"{c.mfn:#x}", *map(_words, (c.state, c.use or "")), c.dimm or "", _words(c.reason))
        for c in glance.cases[:CASES_SHOWN]
    ]


def _words(name: str) -> str:
    return name.replace("_", " ")


def _table(title: str, heading: tuple[str, ...], rows: list[tuple[str, ...]]) -> Iterator[str]:
    """With its heading; it scrolls within itself, and by the keyboard, where it is too wide."""
    name = title.lower().replace(" ", "-")
    yield f'<section aria-labelledby="{name}"><h2 id="{name}">{escape(title)}</h2>'
    if not rows:
        yield "<p>None.</p></section>"
        return
    yield f'<div class="scroll" role="region" aria-labelledby="{name}" tabindex="0"><table>'
    columns = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in heading)
    yield f"<thead><tr>{columns}</tr></thead><tbody>"
    for first, *others in rows:
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in others)
        yield f'<tr><th scope="row">{escape(first)}</th>{cells}</tr>'
    yield "</tbody></table></div></section>"
