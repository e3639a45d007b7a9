"""An app for tests: one model for each vendor, with a column of every type it has."""
