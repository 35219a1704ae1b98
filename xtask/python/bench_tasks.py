"""What the workers of `bench_peers.py` are told to do.

A module of its own, since some of the pools send a function by its name only if it is not the
main program's. Its workers import it, so it imports nothing.
"""


def add_one(x):
    return x + 1


def list_sum(numbers):
    return sum(numbers)


def array_sum(numbers):
    # numpy.sum(numbers), without importing numpy in workers that do not need it.
    return numbers.sum()


def give_back(value):
    return value
