"""What real machines write, made into ereports: lines in, records out.

    source ─► formats ┬ lines ──► kernel_log ─► edac, mc_event, ghes, mce_block, mce_logged ┐
                      ├ lines ──► mcelog_text, mce_record, xen_console, mce_inject, smartmem ┤
                      ├ chunks ─► mce_struct ────────────────────────────────────────────────┤
                      └ rows ───► rasdaemon ─────────────────────────────────────────────────┤
                                                                                             ▼
                          machine_check judges registers, once counts once ─► Decoded | Refused

Pure and streaming: nothing here opens a file, and memory does not grow with its length. Every line
is treated as hostile: it is decoded right, passed over because it speaks of something else, or
refused with a reason. None is lost in silence.
"""
