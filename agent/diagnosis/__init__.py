"""Pure: from ereports to verdicts. Knows no clock, no socket, no disk."""
