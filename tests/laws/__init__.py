"""Conformance suites: what every implementation of a door promises."""
