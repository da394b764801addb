"""Benchmarks: programs that measure and print, run by hand or by `make`; no test waits for their figures."""
