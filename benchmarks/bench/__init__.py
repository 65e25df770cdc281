"""What benchmarks/run measures, and how: machines, contenders, measurements, and the report."""
