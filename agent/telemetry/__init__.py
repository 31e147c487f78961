"""What real machines write, made into ereports: lines in, records out.

    source ─► formats ─ lines ─► kernel_log ─► edac, mc_event ───────────────────► once ─┐
                │         │           ├──────► ghes, mce_block ──────► held ───────►  ┤  │
                │         ├───► mcelog_text, mce_record, xen_console ─► machine_check ┤  │
                │         ├───► mce_inject ─────────────────────────►  ┤              │  │
                │         └───► smartmem ──────────────────────────────│──────────────│──┤
                ├─ chunks ────► mce_struct ─────────────────────────►  ┘              │  ▼
                └─ rows ──────► rasdaemon ────────────────────────────────────────►  ─┘  Decoded
                                                                                      or Refused

Pure and streaming: nothing here opens a file, and memory does not grow with its length. Every line
is treated as hostile: it is decoded right, passed over because it speaks of something else, or
refused with a reason. None is lost in silence.
"""
