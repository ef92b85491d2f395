//! What stands for live packet capture where it is not built in: it says so.

use std::convert::Infallible;

use membench_decode::packet::Packet;

use crate::{Error, Result};

/// How long the kernel may hold packets back, ms.
pub(crate) const TIMEOUT_MS: u16 = 10;

/// A live capture, of which there is none in this build.
pub(crate) struct Live(Infallible);

impl Live {
    /// Says which feature is missing.
    pub(crate) fn open(_: &str, _: &[u16], _: u32) -> Result<Self> {
        Err(Error::FeatureMissing {
            feature: "pcap",
            wanted: "pcap:INTERFACE",
        })
    }

    /// See the live capture.
    pub(crate) fn next_packet(&mut self) -> Option<Packet<'_>> {
        match self.0 {}
    }

    /// See the live capture.
    pub(crate) fn failure(&self) -> Option<&str> {
        match self.0 {}
    }

    /// See the live capture.
    pub(crate) fn count_drops(&mut self) -> u64 {
        match self.0 {}
    }

    /// See the live capture.
    pub(crate) fn dropped(&self) -> u64 {
        match self.0 {}
    }

    /// See the live capture.
    pub(crate) fn name(&self) -> String {
        match self.0 {}
    }

    /// See the live capture.
    pub(crate) fn buffer_bytes(&self) -> u32 {
        match self.0 {}
    }

    /// See the live capture.
    pub(crate) fn version(&self) -> &str {
        match self.0 {}
    }
}
