"""The packed store: a motion library as memory-mapped arrays that load at once, with a record of the files it was made from."""

from __future__ import annotations

from grail_framework.motion.store.format import STORE_FOLDER, StoreError, StoreKey, is_store
from grail_framework.motion.store.reading import PackedStore, open_store
from grail_framework.motion.store.writing import StoreWriter

__all__ = ["STORE_FOLDER", "PackedStore", "StoreError", "StoreKey", "StoreWriter", "is_store", "open_store"]
