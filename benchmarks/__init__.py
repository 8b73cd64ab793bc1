"""Benchmarks: what the product costs, beside a ceiling in C and beside its peers, in one run on one machine."""
