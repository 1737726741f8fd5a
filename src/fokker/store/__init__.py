"""The store: identity, models, records, and where they lie."""
