"""Errors as machines write them down: one small pure file a format, and a table of them all.

    stream ─► harvests ─► records ─► a writer ─► bytes

What pagewarden's decoders read, and what other tools read too, so that both can be fed the same.
"""
