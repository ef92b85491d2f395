//! Objects → programs in the kernel, their maps and rings.

pub(crate) mod btf;
pub(crate) mod classifier;
pub(crate) mod counters;
pub(crate) mod error;
pub(crate) mod failure;
pub(crate) mod merge;
pub(crate) mod privileges;
pub(crate) mod ring;
pub(crate) mod syscalls;
