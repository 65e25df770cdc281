"""The benchmarks of benchmarks/run: machines, contenders, measurements and the report."""
