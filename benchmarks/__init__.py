"""What `make bench` measures: everything as ratios within one run.

    python -m benchmarks --only influence --model vae-celeba --level fine --quick

A section is a module with `measure`, which gives plain values for the JSON file, and `table`, which
writes them as Markdown. docs/performance.md tells how to read them.
"""
