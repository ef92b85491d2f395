//! The only `unsafe` code: tiny owner types over system calls.
