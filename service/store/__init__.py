"""What the service keeps: submissions, the model's tags, reviewers' decisions, and the audit log of all writes.

All SQL stays in this package; records go in and out. SQLite is embedded, PostgreSQL comes by its URL.
"""

from service.store.backup import back_up, restore
from service.store.database import Store, open_store

__all__ = ["Store", "back_up", "open_store", "restore"]
