"""The report for people, as one HTML file."""
