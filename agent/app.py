"""The composition root: everything is made here, once, and handed to whom it concerns.

    open the journal ─► ask the host who it is ─► fold what an earlier life left
      ─► bring back any guest it left stopped ─► take messages, drive cases ─► told to stop:
    take no more messages ─► finish the steps in flight ─► write down the counters ─► close

One task group holds every task. What breaks a promise (a full disk, a peer of another host) ends
the group, and with it the agent, in one line; what is only trouble is an outcome and goes on.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, aclosing, closing, suppress
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

from agent import garbage
from agent.adapters import logs
from agent.adapters.broker import Broker, BrokerSettings
from agent.adapters.control import Answers, ControlServer
from agent.adapters.health import Health, HealthBoard
from agent.adapters.http import Guard, PublicServer
from agent.adapters.hypervisor.emulated import EmulatedHypervisor, EmulatedToolstack
from agent.adapters.insight import Insight
from agent.adapters.journal import Journal, JournalLimits, Recovered
from agent.adapters.metrics import Metrics
from agent.adapters.overview import Overview
from agent.adapters.page import Glance, page
from agent.adapters.systemd import Systemd
from agent.adapters.xen.hypervisor import XenHypervisor
from agent.adapters.xen.opening import Manner, open_xen
from agent.adapters.xen.toolstack import RUNGS as RUNGS_OF_XEN
from agent.adapters.xen.toolstack import XenToolstack
from agent.checkup import Checkup
from agent.clock import Clock, wall_clock
from agent.config import AgentConfig, BankSection, RowSection
from agent.contract import topics
from agent.contract.errors import AgentError, Unreachable, first_of
from agent.contract.hypercall import HostReply
from agent.contract.requests import Ask, RequestsView, RequestView
from agent.diagnosis.admission import Admission
from agent.diagnosis.diagnosis import Diagnosis, Finding
from agent.diagnosis.dram import Dram
from agent.diagnosis.engines import SerdSettings
from agent.diagnosis.policy import Policy
from agent.events import (
    CaseDropped,
    CaseMessageCoalesced,
    DimmWornOut,
    Event,
    HostRebooted,
    Observer,
    Started,
)
from agent.handshake import Bus, Handshake
from agent.herald import Herald
from agent.introduction import checked, modules_of
from agent.orders import Orders
from agent.pipeline import Delivery, Pipeline
from agent.retirement.acts import Acts
from agent.retirement.adoption import Adoption
from agent.retirement.caps import Caps, StopCaps, pages_of
from agent.retirement.case import Case
from agent.retirement.desk import Desk
from agent.retirement.docket import Docket
from agent.retirement.driver import Driver
from agent.retirement.ladder import Rung, Terms
from agent.retirement.manners import Manners
from agent.retirement.ports import Hypervisor, Toolstack
from agent.retirement.reason import Reason
from agent.retirement.request import view_of
from agent.waiting import set_within

LATE_CALLS = 5  # so many times its own deadline, and a command is not carried out any more
STOP_SECONDS_MAX = 20.0  # for bringing back a guest whose toolstack does not answer
RELEASE_SECONDS_MAX = 5.0  # for the last try to start a guest, whatever went wrong
CANCEL_SECONDS = 0.5  # between two cancels of a task that did not hear the first
PAGE_SECONDS_MAX = 2.0  # for the loop to say what is on the page
FIRST_CONTACT_SECONDS = 0.5  # between two questions to a hypervisor that is not there yet


class Observers:
    """All who watch, as one; the first ones are there before there is much to see."""

    def __init__(self, *watching: Observer) -> None:
        self._watching = list(watching)

    def add(self, observer: Observer) -> None:
        self._watching.append(observer)

    def __call__(self, event: Event) -> None:
        for observe in self._watching:
            observe(event)


async def run(config: AgentConfig, path: Path) -> None:
    """Run until SIGTERM or SIGINT. `path` is where `config` was read from, and is again at SIGHUP.

    Raises:
        AgentError: if something it needs cannot be had, or is lost for good.
    """
    logs.set_up_logs(config.log.level)
    asyncio.get_running_loop().set_exception_handler(logs.tell_loop_trouble)
    with closing(Systemd()) as systemd:
        orders = Orders(config, path, systemd)
        with orders.heard():
            logs.tell_start(version("pagewarden"), config.host, path, config.journal.path)
            try:
                await _live(orders, systemd)
            except Exception as error:
                logs.tell_stop(failure=first_of(error))
                raise
            finally:
                systemd.stopping()
            logs.tell_stop(orders.why)


async def _live(orders: Orders, systemd: Systemd) -> None:
    """One life for each boot of the host, and for each policy."""
    boot = ""
    while not orders.why:
        config = orders.begin()
        logs.set_up_logs(config.log.level)
        async with AsyncExitStack() as stack:
            boot = await _live_once(config, stack, orders, systemd, boot)


async def _live_once(
    config: AgentConfig, stack: AsyncExitStack, orders: Orders, systemd: Systemd, boot: str
) -> str:
    """The boot that this life was of; `boot` is that of the life before."""
    board = HealthBoard(hear=systemd.beat)
    metrics = Metrics(version("pagewarden"), board)
    # The journal first: it knows whether another agent is there already, a port does not say whose.
    parts = await _parts(config, stack, Observers(logs.log_event, metrics.observe), board)
    parts = replace(parts, earlier_boot=boot)
    public = PublicServer(config.metrics.address, metrics.registry, board, _guard(config))
    stack.callback(public.close)
    orders.tell(parts.observe)
    systemd.ready()  # it answers; a hypervisor that does not may be starting itself
    agent = await Agent.make(config, parts, orders)
    if agent is not None:
        answers = _answers(agent.overview, agent.insight, agent.desk)
        control = await ControlServer.open(config.control.socket, answers)
        stack.push_async_callback(control.close)
        public.show(_front(agent.overview, config.retirement.mode))
        garbage.settle()
        await agent.run(orders)
        return str(agent.checkup.boot_id)
    return boot


def _front(overview: Overview, mode: str) -> Callable[[], str]:
    """The page, for a thread that is not the loop's: what it tells belongs to the loop."""
    loop = asyncio.get_running_loop()

    async def glance() -> Glance:
        return overview.glance(mode, wall_clock())

    return lambda: page(asyncio.run_coroutine_threadsafe(glance(), loop).result(PAGE_SECONDS_MAX))


class MessageBus(Bus, Protocol):
    """At-least-once: what is not acknowledged is delivered again."""

    @property
    def behind_seconds(self) -> float: ...
    def deliveries(self) -> AsyncGenerator[Sequence[Delivery], None]: ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What the agent stands on: all of its world, so that a simulation can put another in place."""

    broker: MessageBus
    hypervisor: Hypervisor
    toolstack: Toolstack
    journal: Journal
    observe: Observers
    board: HealthBoard
    clock: Clock = wall_clock
    earlier_boot: str = ""  # of the host, if this process knew one


@dataclass(slots=True)
class Agent:
    """What runs, ready to run."""

    broker: MessageBus
    pipeline: Pipeline
    handshake: Handshake
    driver: Driver
    checkup: Checkup
    desk: Desk
    adoption: Adoption
    herald: Herald
    overview: Overview
    insight: Insight
    _recovered: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    async def make(cls, config: AgentConfig, parts: Parts, stop: asyncio.Event) -> "Agent | None":
        """Everything made and restored; None if told to stop before the hypervisor answered."""
        acts = _acts(config, parts)
        host = await _first_contact(acts, config, parts.board, stop)
        if host is None:
            return None
        journal, observe, clock = parts.journal, parts.observe, parts.clock
        diagnosis = _diagnosis(config, host.frames)
        docket = Docket(_caps(config, host), str(host.boot_id), modules_of(host))
        earlier = await journal.recover()
        changed = await _restore(earlier, journal, diagnosis, docket, clock)
        replaced = diagnosis.meet(docket.modules)
        _tell_reboot(parts.earlier_boot or _boot_of(earlier.cases), docket, changed, observe)
        _tell_restored(changed, docket, observe)
        driver = Driver(acts, journal, docket, observe, clock, _manners(config))
        overview = Overview(
            config.host,
            version("pagewarden"),
            diagnosis,
            docket,
            parts.board,
            journal.history,
            lambda: driver.manners,
        )
        overview.seed(earlier.cases)
        observe.add(overview.observe)
        herald = Herald(config.host, parts.broker, lambda: observe(CaseMessageCoalesced()))
        herald.seed(_known(earlier.cases, docket))
        observe.add(herald.observe)
        desk = Desk(driver, docket, journal, host, observe, clock)
        adoption = Adoption(acts.hypervisor, driver, docket, journal, host, observe, clock)
        await desk.restore(await journal.requests())
        every = config.journal.snapshot_every_batches
        pipeline = Pipeline(diagnosis, docket, journal, driver.submit, observe, clock, every)
        admission, hand = diagnosis.admission, pipeline.hand
        handshake = Handshake(config.host, admission, parts.broker, observe, hand)
        observe.add(handshake.hear)
        insight = Insight(host, diagnosis, docket, driver, overview.dimm_errors, overview.case)
        renew = _renewal(parts.board, overview, observe)
        checkup = Checkup(acts, parts.broker, host.boot_id, renew)
        observe(_started(config, host, docket, admission, replaced))
        if replaced:  # or an agent that is killed soon would find them replaced once more
            await pipeline.snapshot()
        return cls(
            parts.broker,
            pipeline,
            handshake,
            driver,
            checkup,
            desk,
            adoption,
            herald,
            overview,
            insight,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Bring guests back, serve until told to stop or the host rebooted, and stop in order."""
        try:
            await self._serve(stop)
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(RELEASE_SECONDS_MAX):
                    await self.driver.release()
        await self.pipeline.snapshot()

    async def _serve(self, stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            others = [
                group.create_task(self.checkup.beat(), name="heartbeat"),
                group.create_task(self.checkup.look(), name="checkup"),
            ]
            driving = group.create_task(self._drive(), name="driver")
            others.append(group.create_task(self._take_messages(), name="intake"))
            others.append(group.create_task(self.handshake.run(), name="handshake"))
            others.append(group.create_task(self._take_requests(), name="desk"))
            others.append(group.create_task(self._adopt(), name="adoption"))
            others.append(group.create_task(self.herald.run(), name="herald"))
            await _any(stop, self.checkup.rebooted)
            await self.pipeline.stop()
            self.driver.stop()
            await asyncio.wait([driving], timeout=STOP_SECONDS_MAX)
            for task in (driving, *others):
                await _ended(task)

    async def _drive(self) -> None:
        await self.driver.recover()
        await self.adoption.once()  # the caps count what others have taken, before more is taken
        self._recovered.set()
        await self.driver.run()

    async def _take_messages(self) -> None:
        await self._recovered.wait()  # a guest that stands still comes before any message
        async with aclosing(self.broker.deliveries()) as deliveries:
            await self.pipeline.run(deliveries)

    async def _adopt(self) -> None:
        await self._recovered.wait()
        await self.adoption.run()

    async def _take_requests(self) -> None:
        await self._recovered.wait()
        await self.desk.run()


async def _any(*events: asyncio.Event) -> None:
    """Return when one of them is set."""
    waiting = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()


async def _ended(task: asyncio.Task[None]) -> None:
    """Cancel `task` until it has ended.

    Once is not enough on Python 3.11: a cancel that arrives together with what `wait_for` waits for
    is lost, and aiomqtt connects with one.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=CANCEL_SECONDS)


async def _first_contact(
    acts: Acts, config: AgentConfig, board: HealthBoard, stop: asyncio.Event
) -> HostReply | None:
    """What the hypervisor says it is; None if told to stop before it said anything.

    Raises:
        AgentError: if it is another host than the configured one, or not one that we can drive.
    """
    while not stop.is_set():
        try:
            host = await acts.hypervisor.host()
        except Unreachable as error:
            board.renew(Health((f"the hypervisor does not answer: {error}",)))
            await set_within(stop, FIRST_CONTACT_SECONDS)
        else:
            if config.hypervisor.kind == "xen":
                return host  # it was looked at before it was opened
            return checked(host, config.host, config.hypervisor.hypercall_socket)
    return None


async def _restore(
    earlier: Recovered, journal: Journal, diagnosis: Diagnosis, docket: Docket, clock: Clock
) -> Sequence[Case]:
    """Fold what an earlier life wrote down into what it knew and had under way; what has changed
    since.
    """
    docket.next_number = earlier.next_case_number
    changed = list(docket.restore(earlier.cases, clock()))
    try:
        if earlier.snapshot is not None:
            diagnosis.restore(earlier.snapshot)
    except AgentError as error:
        raise AgentError(
            f"{journal.path}: {error}, by emptying the table `snapshots` of that file"
        ) from None
    async for batch in earlier.tail:
        finding = diagnosis.take(batch)
        if isinstance(finding, Finding):  # a smaller N may find now what it did not find then
            changed += docket.open_missed(finding.judgement.verdicts, clock())
    await journal.save(*changed)
    return changed


def _known(earlier: Iterable[Case], docket: Docket) -> tuple[Case, ...]:
    """All cases as they are, and those that a later one of the same page has replaced: that they
    were closed may not have been heard yet.
    """
    now = {case.id for case in docket.cases}
    return (*docket.cases, *(case for case in earlier if case.id not in now))


def _boot_of(earlier: Iterable[Case]) -> str:
    """The boot that the host was in when a case moved last."""
    return max(earlier, key=lambda case: case.moved_at_ns).boot if earlier else ""


def _tell_reboot(before: str, docket: Docket, changed: Sequence[Case], observe: Observer) -> None:
    if before and before != docket.boot:
        taken_up = sum(not case.state.is_at_rest for case in changed)
        observe(HostRebooted(before, docket.boot, taken_up))


def _tell_restored(changed: Sequence[Case], docket: Docket, observe: Observer) -> None:
    for case in changed:
        if case.reason is Reason.DIMM_REPLACED:
            observe(CaseDropped(case))
    for rank in docket.worn_ranks:
        observe(DimmWornOut(rank))


def _renewal(
    board: HealthBoard, overview: Overview, observe: Observer
) -> Callable[[tuple[str, ...], float], None]:
    """What is done at each heartbeat."""

    def renew(ailments: tuple[str, ...], late_seconds: float) -> None:
        board.renew(Health(ailments))
        observe(overview.beat(late_seconds))

    return renew


def _started(
    config: AgentConfig,
    host: HostReply,
    docket: Docket,
    admission: Admission,
    replaced: tuple[str, ...],
) -> Started:
    return Started(
        mode=config.retirement.mode,
        modules=host.modules,
        pages_max=docket.caps.pages_max,
        pages_per_rank_max=docket.caps.pages_per_rank_max,
        cases=docket.cases,
        missing=admission.missing,
        replaced=replaced,
    )


def _caps(config: AgentConfig, host: HostReply) -> Caps:
    section = config.retirement
    pages_max = pages_of(host.frames, section.retired_memory_fraction_max)
    return Caps(pages_max, section.pages_per_rank_max)


def _answers(overview: Overview, insight: Insight, desk: Desk) -> Answers:
    async def ask(wanted: Ask) -> RequestView:
        return view_of(await desk.take(wanted))

    def requests() -> RequestsView:
        return RequestsView(requests=tuple(map(view_of, desk.requests)))

    def request(request_id: str) -> RequestView | None:
        found = desk.find(request_id)
        return None if found is None else view_of(found)

    async def end(request_id: str) -> RequestView | None:
        found = await desk.end(request_id)
        return None if found is None else view_of(found)

    return Answers(
        status=overview.status,
        top=lambda: overview.top(wall_clock()),
        dimms=insight.dimms,
        page=insight.page,
        cases=overview.cases,
        case=overview.case,
        ask=ask,
        requests=requests,
        request=request,
        end=end,
    )


def _diagnosis(config: AgentConfig, frames: int) -> Diagnosis:
    section = config.diagnosis
    page = SerdSettings(section.page.n, section.page.window_ns, section.pages_tracked_max)
    dram = Dram(
        row=_if_judged(section.row, section.rows_tracked_max),
        bank=_if_judged(section.bank, section.banks_tracked_max),
    )
    return Diagnosis(Admission(config.host), Policy(page, frames, dram))


def _if_judged(section: RowSection | BankSection, tracked_max: int) -> SerdSettings | None:
    return SerdSettings(section.n, section.window_ns, tracked_max) if section.n else None


def _acts(config: AgentConfig, parts: Parts) -> Acts:
    section = config.retirement
    return Acts(
        parts.hypervisor,
        parts.toolstack,
        section.migrate_to,
        section.detach_seconds_max,
        section.cases_in_flight_max,
    )


async def _parts(
    config: AgentConfig, stack: AsyncExitStack, observe: Observers, board: HealthBoard
) -> Parts:
    """The adapters, each to be closed with `stack`."""
    broker = Broker(_broker_settings(config), (topics.ereports(config.host),), observe)
    journal = await Journal.open(config.journal.path, _limits(config))
    stack.push_async_callback(journal.close)
    hypervisor, toolstack = await _peers(config, observe)
    stack.push_async_callback(hypervisor.close)
    stack.push_async_callback(toolstack.close)
    return Parts(broker, hypervisor, toolstack, journal, observe, board)


async def _peers(
    config: AgentConfig, observe: Observer
) -> tuple[EmulatedHypervisor, EmulatedToolstack] | tuple[XenHypervisor, XenToolstack]:
    section = config.hypervisor
    if section.kind == "xen":
        calls, guests = section.call_seconds_max, section.guest_seconds_max
        return await open_xen(Manner(config.host, section.images, calls, guests), observe)
    return (
        EmulatedHypervisor(section.hypercall_socket, section.call_seconds_max, observe),
        EmulatedToolstack(section.toolstack_socket, section.guest_seconds_max, observe),
    )


def _limits(config: AgentConfig) -> JournalLimits:
    return JournalLimits(
        age_seconds=config.journal.retention_days * 86_400,
        bytes_max=config.journal.bytes_max,
    )


def _manners(config: AgentConfig) -> Manners:
    section = config.retirement
    return Manners(
        retry_seconds_first=section.retry_seconds_first,
        retry_seconds_max=section.retry_seconds_max,
        stopped_retry_seconds_max=section.stopped_retry_seconds_max,
        watch_seconds=section.watch_seconds,
        cases_in_flight_max=section.cases_in_flight_max,
        gather_seconds=section.gather_seconds_max,
        late_seconds=LATE_CALLS * config.hypervisor.guest_seconds_max,
        terms=Terms(_rungs(config), section.migrate_to, section.mapped_seconds_max),
        stops=StopCaps(
            section.pauses_per_guest_and_hour_max,
            tuple(given.window for given in section.windows),
        ),
        observes=section.mode == "observe",
    )


def _rungs(config: AgentConfig) -> tuple[Rung, ...]:
    """What the operator allows, as far as the hypervisor has it."""
    allowed = config.retirement.rungs
    if config.hypervisor.kind == "xen":
        return tuple(rung for rung in RUNGS_OF_XEN if rung in allowed)
    return allowed


def _broker_settings(config: AgentConfig) -> BrokerSettings:
    section = config.broker
    return BrokerSettings(
        url=section.url,
        client_id=section.client_id or f"pagewarden-{config.host}",
        protocol=section.protocol,
        keepalive_seconds=section.keepalive_seconds,
        session_expiry_seconds=section.session_expiry_seconds,
        payload_bytes_max=section.payload_bytes_max,
        retry_seconds_first=section.retry_seconds_first,
        retry_seconds_max=section.retry_seconds_max,
        username=section.username,
        password=_secret("broker.password_file", section.password_file),
        ca_file=section.ca_file,
        cert_file=section.cert_file,
        key_file=section.key_file,
    )


def _guard(config: AgentConfig) -> Guard:
    section = config.metrics
    token = _secret("metrics.token_file", section.token_file)
    if token == "":
        raise AgentError(f"metrics.token_file: {section.token_file} begins with an empty line")
    return Guard(section.cert_file, section.key_file, token)


def _secret(key: str, path: Path | None) -> str | None:
    """The first line of a file that holds a secret; `key` names that file."""
    if path is None:
        return None
    try:
        return path.read_text(encoding="utf-8").partition("\n")[0]
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not text"
        raise AgentError(f"{key}: {path} cannot be read: {why}") from None
