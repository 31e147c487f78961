"""`python -m docs`: write every page of this folder that is made from something else."""

from collections.abc import Iterator
from pathlib import Path

from docs import asyncapi, configure, topics

HERE = Path(__file__).parent


def files() -> Iterator[tuple[Path, str]]:
    """Each file, and what is to be in it."""
    yield HERE / "configure.md", configure.markdown()
    yield HERE / "asyncapi.yaml", asyncapi.yaml()
    yield HERE / "topics.md", topics.markdown()


def main() -> None:
    for path, text in files():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
