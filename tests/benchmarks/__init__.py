"""What sitsinfer promises of speed and memory, measured: ``python -m tests.benchmarks [name ...]``.

A benchmark is a module with ``main(options) -> bool``: it prints a small table and says whether its bounds are met.
Each runs in a process of its own. Ratios are taken within one run, and from CPU seconds, so that a busy machine moves
them little.
"""
