"""What operators look at and are woken by: dashboards, alerts, recording rules, runbooks.

    catalogue ──► limits ──► rules.py ──────► rules/pagewarden.rules.yml
                    └─────► host, dimm, retirement ──► *.json

One number, one place: a limit is drawn on the panel that shows what the alert watches. The files are
written by `python -m dashboards`, and committed: whoever imports them needs no Python.
"""
