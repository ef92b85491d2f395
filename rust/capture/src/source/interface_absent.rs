//! What stands for capturing at an interface where it is not built in: it says so.

use std::convert::Infallible;

use membench_decode::packet::Packet;

use crate::source::sockets::options::{Attachment, Facts};
use crate::{Error, Result};

/// Packets of an interface, of which there are none in this build.
pub(crate) struct Interface(Infallible);

impl Interface {
    /// Says which feature is missing.
    pub(crate) fn open(_: &str, _: &[u16], _: u32, _: Option<Attachment>) -> Result<Self> {
        Err(Error::FeatureMissing {
            feature: "ebpf",
            wanted: "ebpf:INTERFACE",
        })
    }

    /// See the capture.
    pub(crate) fn next_packet(&mut self) -> Option<Packet<'_>> {
        match self.0 {}
    }

    /// See the capture.
    pub(crate) fn beat(&self) {
        match self.0 {}
    }

    /// See the capture.
    pub(crate) fn failure(&mut self, _: u64) -> Option<&str> {
        match self.0 {}
    }

    /// See the capture.
    pub(crate) fn told_failure(&self) -> Option<&str> {
        match self.0 {}
    }

    /// See the capture.
    pub(crate) fn dropped(&self) -> u64 {
        match self.0 {}
    }

    /// See the capture.
    pub(crate) fn unreadable(&self) -> u64 {
        match self.0 {}
    }

    /// See the capture.
    pub(crate) fn passed(&self) -> u64 {
        match self.0 {}
    }

    /// See the capture.
    pub(crate) fn name(&self) -> String {
        match self.0 {}
    }

    /// See the capture.
    pub(crate) fn facts(&self) -> &Facts {
        match self.0 {}
    }

    /// See the capture.
    pub(crate) fn removal(&self) -> Option<String> {
        match self.0 {}
    }

    /// See the capture.
    pub(crate) fn detach(&mut self) -> Option<String> {
        match self.0 {}
    }
}
