"""The parts of bench/fairness."""
