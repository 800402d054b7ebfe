"""Steps from one schema to the next; the service takes those that are missing when it starts."""
