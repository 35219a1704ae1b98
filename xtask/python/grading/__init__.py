"""Grading of handed-in notebooks, a room for each thing to do.

`handed_in` finds and reads what was handed in; `matching` finds the exercises in it, with the help
of `rust`; `sandbox` makes the folder in which it runs, `running` runs it, and `row` keeps what
came. `students` tells whose it is, `table`, `page` and `platforms` write it down, and `kept` knows
what need not run again.
"""
