"""The whole line on one machine: broker, emulated host and agent as processes, watched and judged.

command.py  `pagewarden demo`          stage.py   the processes, up and down
play.py     from start to verdict      screen.py  what one sees meanwhile
judge.py    pure: does the agent tell the truth?
monitoring.py  a Prometheus that looks on
"""
