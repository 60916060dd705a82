"""What a running service tells of itself: logs, metrics and traces. Cores know nothing of it."""
