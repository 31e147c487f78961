"""Before each line of a kernel: date, host, source, as `journalctl -o short-iso-precise` has it."""

from collections.abc import Iterable

from emulator.recording.record import Machine, Record


def kernel_lines(record: Record, machine: Machine, lines: Iterable[str]) -> str:
    """`lines` with their prefix and line breaks."""
    when = f"{record.instant:%Y-%m-%dT%H:%M:%S}.{record.microseconds:06}+0000"
    return "".join(f"{when} {machine.host} kernel: {line}\n" for line in lines)
