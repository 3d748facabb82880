"""A job each second in the workers of two gunicorns, and what becomes of it while its leaders are killed."""
