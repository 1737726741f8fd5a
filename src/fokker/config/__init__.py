"""The configuration: composed, checked, and built into objects."""
