"""The tests; `tests.builders` is shared by all."""
