//! One pass over a profile → what it says about the workload.
