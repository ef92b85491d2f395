//! What stands for capturing at an interface where it is not built in: it says so.

use std::convert::Infallible;

use crate::packet::Packet;
use crate::{Error, Result};

use super::options::{Attachment, Facts};

/// Packets of an interface, of which there are none in this build.
pub(super) struct Interface(Infallible);

impl Interface {
    /// Says which feature is missing.
    pub(super) fn open(_: &str, _: &[u16], _: u32, _: Option<Attachment>) -> Result<Self> {
        Err(Error::FeatureMissing {
            feature: "ebpf",
            wanted: "ebpf:INTERFACE",
        })
    }

    /// See the capture.
    pub(super) fn next_packet(&mut self) -> Option<Packet<'_>> {
        match self.0 {}
    }

    /// See the capture.
    pub(super) fn beat(&self) {
        match self.0 {}
    }

    /// See the capture.
    pub(super) fn failure(&mut self, _: u64) -> Option<&str> {
        match self.0 {}
    }

    /// See the capture.
    pub(super) fn told_failure(&self) -> Option<&str> {
        match self.0 {}
    }

    /// See the capture.
    pub(super) fn dropped(&self) -> u64 {
        match self.0 {}
    }

    /// See the capture.
    pub(super) fn unreadable(&self) -> u64 {
        match self.0 {}
    }

    /// See the capture.
    pub(super) fn passed(&self) -> u64 {
        match self.0 {}
    }

    /// See the capture.
    pub(super) fn name(&self) -> String {
        match self.0 {}
    }

    /// See the capture.
    pub(super) fn facts(&self) -> &Facts {
        match self.0 {}
    }

    /// See the capture.
    pub(super) fn removal(&self) -> Option<String> {
        match self.0 {}
    }

    /// See the capture.
    pub(super) fn detach(&mut self) -> Option<String> {
        match self.0 {}
    }
}
