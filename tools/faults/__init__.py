"""Faults on purpose: kills, full disks, failing calls, flipped bits, signals, NaN; and what must hold after
each.

    python -m tools.faults --quick          every check, sampled: about a minute
    python -m tools.faults --full           every check in full: about an hour
    python -m tools.faults --twins          break the library on purpose, twelve times: each time a check
    must fail python -m tools.faults --only kills --seed 7

Commands run in children of one process that has imported everything: a fork is thirty times faster than a
start. What they leave is compared with an uninterrupted run, bit for bit.
"""
