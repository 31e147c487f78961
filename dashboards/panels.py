"""What the three dashboards share: how a metric is asked for, and what stands at the top."""

from agent.adapters import catalogue as row
from agent.adapters.catalogue import Declared, Instrument
from dashboards.grafana import AMBER, BLUE, Variable

HERE = 'job=~"$job",instance=~"$instance"'
OF_DIMM = f'{HERE},dimm=~"$dimm"'

JOB = Variable("job", "Job", row.BUILD.name, "job")
HOST = Variable("instance", "Host", f'{row.BUILD.name}{{job=~"$job"}}', "instance")
DIMM = Variable("dimm", "DIMM", f"{row.DIMM_PAGES.name}{{{HERE}}}", "dimm")

ANNOTATIONS = (
    (
        "Firing alert",
        AMBER,
        f'ALERTS{{alertstate="firing",alertname=~"Pagewarden.+",{HERE}}}',
    ),
    ("Agent started", BLUE, f"changes(process_start_time_seconds{{{HERE}}}[$__interval]) > 0"),
)


def of(what: Declared[Instrument], part: str = "", more: str = "", where: str = HERE) -> str:
    """The metric of the chosen hosts; `more` narrows it down."""
    return f"{what.name}{part}{{{where}{',' + more if more else ''}}}"


def increase(
    what: Declared[Instrument], window: str, part: str = "", more: str = "", where: str = HERE
) -> str:
    return f"increase({of(what, part, more, where)}[{window}])"


def by(labels: str, expr: str) -> str:
    return f"sum by ({labels}) ({expr})"


def quantile(what: Declared[Instrument], window: str, q: str, labels: str = "instance") -> str:
    buckets = by(f"{labels}, le", f"rate({of(what, '_bucket')}[{window}])")
    return f"histogram_quantile({q}, {buckets})"


def age(what: Declared[Instrument]) -> str:
    """How long ago that was; 0 where there is none."""
    return f"(time() - {of(what)}) * ({of(what)} > bool 0)"
