"""Speed claims, measured. `python -m tests.benchmarks call` or `import`."""
