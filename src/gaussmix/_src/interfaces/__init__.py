"""Plain values that structures, engines and sources exchange (docs/develop/architecture.md)."""
