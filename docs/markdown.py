"""What Markdown wants written the same way everywhere."""

from collections.abc import Iterable, Sequence


def as_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A line for the head, one for the rule below it, and one a row; it ends without a newline."""
    lines = (head, ("---",) * len(head), *rows)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
