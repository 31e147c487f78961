"""Dashboard 1: is it working, on every host?"""

from agent.adapters import catalogue as row
from dashboards import limits
from dashboards.grafana import AMBER, GREEN, RED, Column, Dashboard, Kind, Panel, Query, Row, Unit
from dashboards.panels import ANNOTATIONS, HERE, HOST, JOB, by, increase, of, quantile
from dashboards.rules import FAILED_OUTCOMES, P99

_OBSERVING = of(row.MODE, more='mode="observe"')
_FAILING = increase(row.CALLS_MADE, "15m", more=f'outcome=~"{FAILED_OUTCOMES}"')
_WELL = ((0, "no", RED), (1, "yes", GREEN))

WORKING = Row(
    "Is it working?",
    (
        Panel(
            Kind.STAT,
            "Agents that answer",
            "The part of the chosen agents that answered the last scrape. Less than all: those hosts' errors are not acted on.",
            Unit.RATIO,
            (Query(f"avg(up{{{HERE}}})"),),
            limits.HEALTHY,
            width=4,
            height=4,
        ),
        Panel(
            Kind.STAT,
            "Agents that are well",
            "The part of the agents whose peers all answer and whose loop runs; /healthz of the others says what ails them.",
            Unit.RATIO,
            (Query(f"avg({of(row.HEALTHY)})"),),
            limits.HEALTHY,
            width=4,
            height=4,
        ),
        Panel(
            Kind.STAT,
            "Agents with a broker",
            "The part of the agents that are connected. The others hear of no error, and their sources keep them meanwhile.",
            Unit.RATIO,
            (Query(f"avg({of(row.BROKER_CONNECTED)})"),),
            limits.HEALTHY,
            width=4,
            height=4,
        ),
        Panel(
            Kind.STAT,
            "In observe mode",
            "Agents in observe mode: they count and ask, and take no page.",
            Unit.NUMBER,
            (Query(f"sum({_OBSERVING})"),),
            width=4,
            height=4,
        ),
        Panel(
            Kind.STAT,
            "DIMMs to replace",
            "DIMMs of which as many pages are taken as may be: no more of them are, however they fail.",
            Unit.NUMBER,
            (Query(f"sum({of(row.DIMMS_TO_REPLACE)})"),),
            limits.ANY,
            width=4,
            height=4,
        ),
        Panel(
            Kind.STAT,
            "Ereports lost, 24 h",
            "Reports of errors that nobody could send again: counts are too low by as many.",
            Unit.NUMBER,
            (Query(f"sum({increase(row.EREPORTS_LOST, '24h')})"),),
            limits.ANY,
            width=4,
            height=4,
        ),
        Panel(
            Kind.HISTORY,
            "When were they well?",
            "A line a host. Red: something ailed the agent. A gap: it did not answer.",
            Unit.STATE,
            (Query(of(row.HEALTHY), "{{instance}}"),),
            limits.HEALTHY,
            width=24,
            height=5,
            interval="5m",
            words=_WELL,
        ),
        Panel(
            Kind.TABLE,
            "Hosts",
            "Each host's agent: its version, whether it is well, and how many cases it has under its hands.",
            Unit.NUMBER,
            (
                Query(f"{of(row.BUILD)}", instant=True),
                Query(by("instance", of(row.HEALTHY)), instant=True),
                Query(by("instance", increase(row.ERRORS, "24h")), instant=True),
                Query(by("instance", of(row.PAGES_TRACKED)), instant=True),
                Query(by("instance", of(row.CASES_NOW)), instant=True),
            ),
            width=24,
            height=6,
            columns=(
                Column("instance", "Host"),
                Column("Value #B", "Well", _WELL),
                Column("Value #C", "Errors, 24 h"),
                Column("Value #D", "Pages counted"),
                Column("Value #E", "Cases"),
                Column("version", "Version"),
                Column("python", "Python"),
            ),
            worst="Errors, 24 h",
        ),
    ),
)

ERRORS = Row(
    "Does the memory have errors?",
    (
        Panel(
            Kind.SERIES,
            "Errors by host",
            "Errors of any kind in the last hour. A few a day are usual; a step is a part that begins to fail.",
            Unit.NUMBER,
            (Query(by("instance", increase(row.ERRORS, "1h")), "{{instance}}"),),
        ),
        Panel(
            Kind.BARS,
            "DIMMs with most errors, 24 h",
            "The ten worst of the chosen hosts; the limit is that of the alert.",
            Unit.NUMBER,
            (
                Query(
                    f"topk(10, {by('instance, dimm', increase(row.ERRORS, '1d'))} > 0)",
                    "{{instance}} {{dimm}}",
                    instant=True,
                ),
            ),
            limits.ERRORS_PER_DAY,
        ),
        Panel(
            Kind.SERIES,
            "Errors without a page",
            "Ereports that no page can be blamed for: without an address, of one that the host does not have, or uncorrected; and those misplaced, of a row that no DIMM has, for which no row is blamed.",
            Unit.NUMBER,
            (
                Query(by("instance", increase(row.UNLOCATED, "1h")), "{{instance}} no address"),
                Query(by("instance", increase(row.OUT_OF_RANGE, "1h")), "{{instance}} elsewhere"),
                Query(by("instance", increase(row.MISPLACED, "1h")), "{{instance}} misplaced"),
                Query(by("instance", increase(row.UNCORRECTED, "1h")), "{{instance}} uncorrected"),
            ),
        ),
    ),
)

ARRIVING = Row(
    "Does everything arrive?",
    (
        Panel(
            Kind.SERIES,
            "Ereports",
            "Ereports taken off the bus, a second. Duplicates are dropped: sources send again what was not applied in time.",
            Unit.PER_SECOND,
            (
                Query(
                    by("instance, result", f"rate({of(row.EREPORTS)}[$__rate_interval])"),
                    "{{instance}} {{result}}",
                ),
            ),
            stacked=True,
        ),
        Panel(
            Kind.SERIES,
            "From error to count",
            "How old the newest error of a batch is when it is counted for good: 99 of 100 are younger. Includes what both clocks are apart.",
            Unit.SECONDS,
            (Query(quantile(row.DELAY, "1h", P99), "{{instance}}"),),
            limits.DELAY_SECONDS,
        ),
        Panel(
            Kind.SERIES,
            "Missing ereports",
            "Not arrived in their turn; then recovered, lost, or still missing.",
            Unit.NUMBER,
            (
                Query(of(row.EREPORTS_MISSING), "{{instance}} missing now"),
                Query(by("instance", increase(row.EREPORTS_MISSED, "1h")), "{{instance}} missed"),
                Query(
                    by("instance", increase(row.EREPORTS_RECOVERED, "1h")), "{{instance}} recovered"
                ),
                Query(by("instance", increase(row.EREPORTS_LOST, "1h")), "{{instance}} lost"),
            ),
            limits.ANY,
        ),
        Panel(
            Kind.SERIES,
            "Messages refused",
            "Messages that were not let in, in half an hour; they are kept in the journal.",
            Unit.NUMBER,
            (
                Query(
                    by("instance, kind", increase(row.MESSAGES_REFUSED, "30m")),
                    "{{instance}} {{kind}}",
                ),
            ),
            limits.REFUSED_MESSAGES,
        ),
        Panel(
            Kind.SERIES,
            "Pages, rows and banks forgotten",
            "More of them have errors than can be counted at once: some may fail unseen. Many rows at "
            "once are a bank, or a bus, that fails.",
            Unit.NUMBER,
            (
                Query(by("instance", increase(row.PAGES_EVICTED, "1h")), "{{instance}} page"),
                Query(
                    by("instance, part", increase(row.PLACES_EVICTED, "1h")),
                    "{{instance}} {{part}}",
                ),
            ),
            limits.ANY,
        ),
        Panel(
            Kind.STAT,
            "Newest error",
            "When the newest error of all was made that is counted. Old is good, if the agents are well.",
            Unit.SECONDS,
            (Query(f"time() - max({of(row.NEWEST)})"),),
        ),
    ),
)

AGENT = Row(
    "Is the agent itself well?",
    (
        Panel(
            Kind.SERIES,
            "Event loop",
            "How late its heartbeat comes: 99 of 100 are sooner. Guests that are being stopped wait as long.",
            Unit.SECONDS,
            (Query(quantile(row.LAG, "5m", P99), "{{instance}}"),),
            limits.LOOP_LAG_SECONDS,
        ),
        Panel(
            Kind.SERIES,
            "Making a batch durable",
            "The journal's disk: 99 of 100 commits are faster.",
            Unit.SECONDS,
            (Query(quantile(row.COMMIT, "1h", P99), "{{instance}}"),),
            limits.COMMIT_SECONDS,
        ),
        Panel(
            Kind.SERIES,
            "Calls that fail",
            "Calls to hypervisor and toolstack in 15 minutes that were not answered, or failed. A refusal is an answer.",
            Unit.NUMBER,
            (
                Query(
                    f"{by('instance, call, outcome', _FAILING)} > 0 or {by('instance', _FAILING)}",
                    "{{instance}} {{call}} {{outcome}}",
                ),
            ),
            limits.FAILED_CALLS,
        ),
        Panel(
            Kind.SERIES,
            "Starts",
            "Starts of the agent in half an hour.",
            Unit.NUMBER,
            (Query(f"changes(process_start_time_seconds{{{HERE}}}[30m])", "{{instance}}"),),
            limits.RESTARTS,
        ),
        Panel(
            Kind.SERIES,
            "Connections lost",
            "Connections to the broker that ended, or did not come about, in an hour.",
            Unit.NUMBER,
            (Query(by("instance", increase(row.BROKER_LOST, "1h")), "{{instance}}"),),
        ),
        Panel(
            Kind.SERIES,
            "Memory of the agent",
            "Resident memory of the process.",
            Unit.BYTES,
            (Query(f"process_resident_memory_bytes{{{HERE}}}", "{{instance}}"),),
        ),
    ),
)

# An emulated host knows what really happened; a real one does not.
TRUTH = Row(
    "What really happened? (emulated hosts)",
    (
        Panel(
            Kind.SERIES,
            "Errors: the truth, and the count",
            "What the emulated memory really had, over what the agents counted. Where they part, something was lost.",
            Unit.NUMBER,
            (
                Query(
                    by("instance", "increase(pagewarden_truth_errors_total[1h])"),
                    "truth {{instance}}",
                ),
                Query(by("instance", increase(row.ERRORS, "1h")), "count {{instance}}"),
            ),
            width=12,
        ),
        Panel(
            Kind.SERIES,
            "Pages out of use: the truth, and the cases",
            "What the emulated host's frame table has offlined, over what the agents call retired.",
            Unit.NUMBER,
            (
                Query('pagewarden_truth_frames{state="offlined"}', "truth {{instance}}"),
                Query(of(row.CASES_NOW, more='state="retired"'), "cases {{instance}}"),
            ),
            width=12,
        ),
        Panel(
            Kind.SERIES,
            "Harm to guests",
            "How often guests read what they had not written. Not one is expected.",
            Unit.NUMBER,
            (Query("pagewarden_truth_guest_harm", "{{instance}}"),),
            limits.ANY_NOW,
            width=12,
        ),
        Panel(
            Kind.SERIES,
            "Guests that do not run",
            "Guests by what the hypervisor says of them.",
            Unit.NUMBER,
            (
                Query(
                    by("instance, state", 'pagewarden_truth_guests{state!="running"}'),
                    "{{instance}} {{state}}",
                ),
            ),
            width=12,
        ),
        Panel(
            Kind.SERIES,
            "Messages not applied yet",
            "What the source keeps until the agent says that it has it for good.",
            Unit.NUMBER,
            (Query("pagewarden_truth_outbox_messages", "{{instance}}"),),
            width=12,
        ),
        Panel(
            Kind.HISTORY,
            "When was the host up?",
            "A gap or red: the emulated host was down, and came back under another boot.",
            Unit.STATE,
            (Query("pagewarden_truth_host_up", "{{instance}}"),),
            limits.HEALTHY,
            width=12,
            interval="5m",
            words=((0, "down", AMBER), (1, "up", GREEN)),
        ),
    ),
)

HOSTS = Dashboard(
    "pagewarden-hosts",
    "pagewarden: hosts",
    "Is pagewarden working, do errors arrive, and is the agent well? From here to the DIMMs, and to what was done.",
    (WORKING, ERRORS, ARRIVING, AGENT, TRUTH),
    (JOB, HOST),
    annotations=ANNOTATIONS,
)
