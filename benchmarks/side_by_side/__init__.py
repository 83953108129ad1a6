"""hyok beside other roads to the same store, in one run: `benchmarks/bench_gateway.py`."""
