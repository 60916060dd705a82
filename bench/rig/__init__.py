"""What the benchmarks of the whole stack share: clips, a running stack with cameras, metrics, processor time."""
