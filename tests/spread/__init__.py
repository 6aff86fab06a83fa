"""Several machines: the tests that take longest, in a folder so that they begin early (files begin in their order)."""
