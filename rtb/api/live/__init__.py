"""What moves, looked at once for all who watch: snapshots, rates, what limits, what needs help."""
