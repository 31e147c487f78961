"""What real machines write, made into ereports: lines in, records out.

    chunks ─ lines ─► formats ─► kernel_log ─► announced, edac ─┐
                         └─────► smartmem ──────────────────────┴─► Decoded | Refused

Pure and streaming: nothing here opens a file, and memory does not grow with its length. Every line
is treated as hostile: it is decoded right, passed over because it speaks of something else, or
refused with a reason. None is lost in silence.
"""
