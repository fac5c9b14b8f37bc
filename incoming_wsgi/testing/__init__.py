"""Suites that hold the contracts of `storage/base.py` and `tickets/base.py` as tests.

A back end of your own is tested by a subclass and one fixture; it needs pytest:

    from incoming_wsgi.testing import StorageContract

    class TestMyStorage(StorageContract):
        @pytest.fixture
        def make_storage(self, tmp_path):
            return lambda: MyStorage(tmp_path / "storage")   # each call: as another process has it
"""

from .storage import StorageContract
from .tickets import TicketStoreContract

__all__ = ["StorageContract", "TicketStoreContract"]
