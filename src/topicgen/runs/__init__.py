"""Runs: outputs that grow, survive a kill, and are told apart by what they were made from."""
