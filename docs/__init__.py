"""What a newcomer reads, and what makes the part of it that is made.

    config/*.toml ─► manual ─┐
    the models    ─► keys ───┴► configure ─► configure.md
    the contract  ─► asyncapi ──────────────► asyncapi.yaml
                        └─────► topics ─────► topics.md

A key, a bound or a field stands in one place, and is told of from there. `python -m docs` writes
these files, and a test holds them against what it would write; the other pages are written by hand.
"""
