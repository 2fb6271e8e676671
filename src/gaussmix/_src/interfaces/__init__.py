"""The waist: plain values at which families, engines and sources meet (docs/develop/waist.md)."""
