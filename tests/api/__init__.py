"""The outward contract of HTTP version 1 (shared/design/api.md), sentence by sentence."""
