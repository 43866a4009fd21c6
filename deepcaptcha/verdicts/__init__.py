"""Plans, exact tests, claims, baselines: what trials let one say."""
