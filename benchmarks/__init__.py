"""What the server costs: `python -m benchmarks.run` measures it and prints the table."""
