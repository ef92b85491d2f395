//! Kernel hooks → segments: load, attach, drain, account.

pub mod ledger;
pub mod listeners;
pub mod sockets;
pub mod statistics;
