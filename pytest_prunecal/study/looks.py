"""Over how many seeds a cell is ever looked at; options know it too, so this imports nothing."""

MOST = 16
"""Seeds of the last look: more would tell little, and cost as much as all before."""
