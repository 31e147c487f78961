"""The shell blocks of a Markdown page, and a machine of their own to run them on.

    <!-- not run: why -->        for what no test can do to this machine
    ```sh
    pagewarden status            # a comment may say that it exits with 1
    ```

The machine is this one in namespaces of its own: its network, its processes, its /run and its
/var/log are empty at first and gone afterwards. So a page's commands are run as they stand there,
with the ports and the paths that it names.
"""

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SECONDS_MAX = 240
MACHINE = ("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc")

_FENCE = re.compile(
    r"(?:^<!-- not run: (?P<why>[^\n]+?) -->\n)?^```(?P<kind>sh|console)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_EXITS = re.compile(r"#.*\bexits with (\d+)", re.DOTALL)

BOOT = """
set -u
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/log
mkdir -p /var/lib/mosquitto && mount -t tmpfs -o mode=1777 tmpfs /var/lib/mosquitto
ip link set lo up
cp kern.log /var/log/
"""


@dataclass(frozen=True, slots=True)
class Block:
    """What stands between two fences; `why` it is not run, or empty."""

    kind: str
    text: str
    why: str

    @property
    def commands(self) -> tuple[str, ...]:
        """Each with its comment; of a console those behind a prompt."""
        lines = re.sub(r"\\\n", "\\\n\0", self.text).split("\n")
        text = "\n".join(lines).replace("\n\0", "\0")
        if self.kind == "console":
            return tuple(line[2:] for line in text.split("\n") if line.startswith("$ "))
        found: list[str] = []
        for line in text.split("\n"):
            if line.lstrip().startswith("#") and found:
                found[-1] += f"\n{line}"
            elif line.strip() and not line.startswith("#"):
                found.append(line.replace("\0", "\n"))
        return tuple(found)

    @property
    def output(self) -> tuple[str, ...]:
        """What a console shows beneath its prompts."""
        lines = self.text.splitlines() if self.kind == "console" else []
        return tuple(line for line in lines if not line.startswith("$ ") and line != "…")


@dataclass(frozen=True, slots=True)
class Ran:
    """A command as it stands there, and what came of it."""

    command: str
    code: int
    said: str

    @property
    def meant(self) -> int:
        """The exit code that its comment tells, or 0."""
        told = _EXITS.search(self.command)
        return int(told[1]) if told else 0


def blocks(page: Path) -> Iterator[Block]:
    for found in _FENCE.finditer(page.read_text(encoding="utf-8")):
        yield Block(found["kind"], found["text"], found["why"] or "")


def is_possible() -> bool:
    """Whether this machine lets us have another one."""
    if not all(map(shutil.which, ("unshare", "ip", "mosquitto", "make", "curl"))):
        return False
    return subprocess.run([*MACHINE, "true"], capture_output=True, check=False).returncode == 0


def run(page: Path, folder: Path) -> list[Ran]:
    """Every command of `page` that may be run, in order, in a checkout of its own in `folder`."""
    commands = [command for block in blocks(page) if not block.why for command in block.commands]
    _check_out(folder)
    script = [BOOT]
    for number, command in enumerate(commands):
        script.append(f"{{ {command}\n}} >{number}.out 2>&1 </dev/null\necho $? >{number}.code")
    (folder / "script").write_text("\n".join(script), encoding="utf-8")
    with suppress(subprocess.TimeoutExpired):  # what was under way has no code then, and is told
        subprocess.run([*MACHINE, "bash", "script"], cwd=folder, check=False, timeout=SECONDS_MAX)
    return [_ran(folder, number, command) for number, command in enumerate(commands)]


def _ran(folder: Path, number: int, command: str) -> Ran:
    out, code = folder / f"{number}.out", folder / f"{number}.code"
    said = out.read_text(encoding="utf-8", errors="replace") if out.exists() else ""
    return Ran(command, int(code.read_text()) if code.exists() else -1, said)


def _check_out(folder: Path) -> None:
    """A checkout with all that is installed, and two logs such as machines write."""
    for name in ("config", "Makefile", "pyproject.toml", "requirements.lock"):
        (folder / name).symlink_to(ROOT / name)
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    installed = folder / ".venv" / "lib"
    _install(installed)
    _program(programs / "python", "", installed)
    _program(programs / "pagewarden", "-m agent", installed)
    (folder / ".venv" / ".run").touch()  # for make: it is installed
    for name, kind in (("kern.log", "edac"), ("sn_7219.csv", "smartmem")):
        record = ("emulator", "record", name, "--format", kind, "--scenario", "ce-storm")
        subprocess.run(
            [programs / "pagewarden", *record], cwd=folder, check=True, capture_output=True
        )


def _install(folder: Path) -> None:
    """The entry points of this very checkout, whatever was installed when."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    about = folder / f"pagewarden-{project['version']}.dist-info"
    about.mkdir(parents=True)
    head = f"Metadata-Version: 2.1\nName: pagewarden\nVersion: {project['version']}\n"
    (about / "METADATA").write_text(head, encoding="utf-8")
    lines = [
        line
        for group, entries in project["entry-points"].items()
        for line in (f"[{group}]", *(f"{name} = {place}" for name, place in entries.items()))
    ]
    (about / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")


def _program(path: Path, options: str, installed: Path) -> None:
    start = f"exec {shlex.quote(sys.executable)} {options}".rstrip()
    path.write_text(
        f'#!/bin/sh\nexport PYTHONPATH={shlex.quote(f"{installed}:{ROOT}")}\n{start} "$@"\n'
    )
    path.chmod(0o755)
