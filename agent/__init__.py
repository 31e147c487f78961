"""pagewarden's agent. One corrected error's way through it, each step one function:

1. `adapters.broker.Broker.deliveries` takes a message from the bus and does not acknowledge it yet.
2. `contract.codec.decode` makes columns of it, or says in one line what is wrong with it.
3. `diagnosis.admission.Admission.admit` keeps what is new: nothing counts twice, gaps are seen.
4. `diagnosis.policy.Policy.judge` counts by page; the N-th error within T makes a verdict.
5. `retirement.docket.Docket.open` opens one case for the page, if the caps allow it.
6. `adapters.journal.Journal.commit` makes both durable, then `adapters.link.Delivery.acknowledge`.
7. `retirement.driver.Driver.run` has `retirement.acts.Acts.give` command what the state names.
8. `retirement.advance.advance` says what follows, until a query has read back: offlined. RETIRED.
"""
