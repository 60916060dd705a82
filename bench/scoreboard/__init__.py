"""The scoreboard: every data set × every method, one table. ``python -m bench.scoreboard`` (``make scoreboard``)."""
