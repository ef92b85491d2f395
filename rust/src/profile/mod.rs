//! Events ↔ a profile on disk: Parquet parts, an open tail, a manifest.
