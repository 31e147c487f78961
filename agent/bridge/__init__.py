"""The bridge: a real host's errors, read where its kernel leaves them, brought to the agent.

    source ─► reader ─► spool: ONE commit ─► courier ─► broker ─► agent
    a piece   decode    numbers, and how     publish                │
                        far was read         drop below ◄── applied ┘

Read → decode → commit → publish. A stop between any two of these neither doubles nor loses an
error: what is not committed is read again, and what is committed is sent until it is applied.

1. `service.Bridge` drives this, `run.run` makes the parts.
2. `agent.adapters.sources` are where errors are read from, `agent.telemetry` decodes them.
3. `agent.adapters.spool` is the memory, `agent.adapters.courier` the way to the agent.
"""
