//! Kernel hooks → segments: load, attach, drain, account.

pub mod ledger;
