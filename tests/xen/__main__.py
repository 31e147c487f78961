"""`python -m tests.xen [CHAPTER…]`: all chapters, or those that are named; 1 if anything failed.

--keep FOLDER   where the logs of Xen, of dom0's shell and of QEMU are left
--page FILE     where the page of what was seen is written, if all was as it should be
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.xen import conforming, nesting, retiring, serving
from tests.xen.image import image
from tests.xen.machine import PV_ALONE, WITH_PVH, WITH_SYSTEMD, Machine
from tests.xen.measured import page
from tests.xen.payload import payload
from tests.xen.report import Report
from tests.xen.trouble import LabError


@dataclass(frozen=True, slots=True)
class Chapter:
    judge: Callable[[Machine, Report], None]
    processor: str = PV_ALONE
    linux: str = ""


CHAPTERS = {
    "words": Chapter(conforming.chapter),
    "pages": Chapter(retiring.chapter),
    "pvh": Chapter(nesting.chapter, WITH_PVH),
    "service": Chapter(serving.chapter, linux=WITH_SYSTEMD),
}


def main() -> int:
    wanted = arguments()
    report = Report()
    try:
        with tempfile.TemporaryDirectory(prefix="pagewarden-xen-") as folder:
            run(wanted.chapters or [*CHAPTERS], wanted.keep or Path(folder), report)
    except LabError as error:
        report.check(False, str(error))
    report.tell(f"{len(report.failures)} failed" if report.failures else "all is as it should be")
    if wanted.page and not report.failures:
        wanted.page.write_text(page(report.lines), encoding="utf-8")
    return 1 if report.failures else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.xen")
    parser.add_argument("chapters", nargs="*", metavar="CHAPTER", help=" ".join(CHAPTERS))
    parser.add_argument("--keep", type=Path, help="an empty folder for the logs")
    parser.add_argument("--page", type=Path, help="where what was seen is written, for people")
    wanted = parser.parse_args()
    if unknown := set(wanted.chapters) - CHAPTERS.keys():
        parser.error(f"no such chapter: {' '.join(unknown)}")
    return wanted


def run(chapters: list[str], folder: Path, report: Report) -> None:
    """Each on a boot of its own: none has to live with what another left behind."""
    report.title("image (built once) and payload")
    booted = image()
    inside = payload(folder)
    for name in chapters:
        (folder / name).mkdir()
        report.title(f"boot for {name}")
        chapter = CHAPTERS[name]
        place = folder / name
        with Machine(booted, inside, place, chapter.processor, chapter.linux) as machine:
            report.tell(f"Xen {version(machine)} is up, and so is its dom0")
            chapter.judge(machine, report)
            machine.check_alive()


def version(machine: Machine) -> str:
    return machine.console.run("xl info xen_version").text


if __name__ == "__main__":
    sys.exit(main())
