//! A kernel program's surroundings → plain functions: structures, rings, counters, user memory, filters.
//!
//! Every object links this library. Nothing here knows memcached or a particular hook.
#![no_std]
#![feature(asm_experimental_arch)]

pub mod abi;
pub mod context;
pub mod counters;
pub mod descriptor;
pub mod filter;
pub mod heartbeat;
pub mod kernel;
pub mod ring;
pub mod server;
pub mod user;
