"""Ways to compute the elementary influence of a whole layer.

Each module offers `variants(setting, ...)`: the same computation in some batch sizes, layouts and
threads, of which the fastest is timed.
"""
