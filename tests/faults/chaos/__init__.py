"""Client processes under a seeded schedule of faults, and a checker of what they saw.

`python -m tests.faults.chaos --minutes N --seed S` from the repository root. Guarantee: the same seed gives the same
schedule; each violation is printed with the part of the history that shows it.
"""
