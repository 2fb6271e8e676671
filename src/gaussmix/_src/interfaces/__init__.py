"""Data classes that covariance structures, engines and sources exchange (docs/develop/architecture.md)."""
