"""Where do the files of requests lie? In a folder, in an object store, or in memory for tests."""

from carrel.airlock.stores.folder import FolderStore
from carrel.airlock.stores.memory import MemoryStore

__all__ = ["FolderStore", "MemoryStore"]
