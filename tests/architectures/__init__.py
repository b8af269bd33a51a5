"""Generators of other people's architectures, small and with random weights.

Each module holds one architecture as its original has it, written as its users would write it, and
a factory without arguments: `graftscope export architectures.dcgan:make_generator`. They know
nothing of Graftscope.
"""
