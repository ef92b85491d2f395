//! A profile → the same requests, at the same times, to a target.
