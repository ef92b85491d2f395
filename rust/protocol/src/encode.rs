//! Requests → bytes.
