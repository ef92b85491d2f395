//! The options of a recording, checked against its source.

use std::path::PathBuf;
use std::time::Duration;

use membench_decode::{Addresses, Responses, privacy::Names};
use membench_event::{Sample, Setting};

use crate::{Attachment, Error, Hooks, Limits, Result, Rotate, Selection, Side, SourceSpec};

/// Options of a recording. [`RecordOptions::new`] has the defaults:
///
/// ```
/// use std::time::Duration;
///
/// use membench_capture::{RecordOptions, SourceSpec};
///
/// let options = RecordOptions {
///     output: Some("production.mb".into()),
///     duration: Some(Duration::from_mins(1)),
///     ..RecordOptions::new(SourceSpec::parse("ebpf:any")?)
/// };
/// assert!(options.statistics);
/// # Ok::<(), membench_capture::Error>(())
/// ```
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent choices of the user's, each with its own name"
)]
pub struct RecordOptions {
    /// The source.
    pub source: SourceSpec,
    /// The hooks of `ebpf:any`; the first ones that this kernel has and accepts if `None`.
    pub hooks: Option<Hooks>,
    /// The way to attach programs to an interface; the first one that this kernel has if `None`.
    pub attachment: Option<Attachment>,
    /// True if packets may stand in for the kernel's hooks.
    pub fallback: bool,
    /// The profile to write.
    pub output: Option<PathBuf>,
    /// True if an existing profile is replaced.
    pub force: bool,
    /// True if a recording may begin before there is a server.
    pub wait: bool,
    /// The connections to follow.
    pub selection: Selection,
    /// The part of responses that is kept.
    pub responses: Responses,
    /// True if the kernel's hooks also note when requests arrived.
    pub arrival: bool,
    /// Size of the rings together, bytes.
    pub ring_bytes: u32,
    /// Time after which the recording ends by itself; in a capture file, by its packets' times.
    pub duration: Option<Duration>,
    /// Limits at which to continue in another profile.
    pub rotate: Rotate,
    /// Bytes written after which the recording ends by itself. They replace the guard [`Limits::max_written`].
    pub max_size: Option<u64>,
    /// The keys and connections to keep.
    pub sample: Sample,
    /// Niceness of the recording's threads; the process is left alone if `None`.
    pub nice: Option<i32>,
    /// The guards that end the recording before it does harm.
    pub limits: Limits,
    /// A key shared with other recordings; a random one if `None`.
    pub key_file: Option<PathBuf>,
    /// True if servers are asked for their counters.
    pub statistics: bool,
    /// True if this process gives up every privilege once attached; that cannot be undone.
    pub drop_privileges: bool,
    /// True if an observer runs beside the recording, whose rows are part of the profile.
    pub observed: bool,
    /// Facts about the host and its servers, for the manifest.
    pub host: serde_json::Value,
    /// True if events are also handed to a live consumer.
    pub live: bool,
    /// True if a stored source waits for the live consumer instead of dropping events.
    pub patient: bool,
    /// Memory of keys in plaintext, for the operator's terminal.
    pub names: Option<Names>,
    /// Memory of clients' addresses, for the operator's terminal.
    pub addresses: Option<Addresses>,
}

impl RecordOptions {
    /// Records a source whole, keeps nothing on disk, and changes nothing about the process.
    pub fn new(source: SourceSpec) -> Self {
        Self {
            source,
            hooks: None,
            attachment: None,
            fallback: true,
            output: None,
            force: false,
            wait: false,
            selection: Selection::default(),
            responses: Responses::Bytes,
            arrival: true,
            ring_bytes: 16 << 20,
            duration: None,
            rotate: Rotate::default(),
            max_size: None,
            sample: Sample::default(),
            nice: None,
            limits: Limits::default(),
            key_file: None,
            statistics: true,
            drop_privileges: false,
            observed: false,
            host: serde_json::Value::Null,
            live: false,
            patient: false,
            names: None,
            addresses: None,
        }
    }

    /// The guards that apply: a size that was asked for replaces the guard on it, and a source that can be read at any
    /// speed may use a whole CPU.
    pub(crate) fn limits(&self, is_live: bool) -> Limits {
        let Limits {
            max_cpu,
            max_memory,
            max_written,
            min_free,
        } = self.limits;
        Limits {
            max_cpu: max_cpu.filter(|_| is_live),
            max_memory,
            max_written: max_written.filter(|_| self.max_size.is_none()),
            min_free,
        }
    }

    /// Refuses options that the source cannot serve.
    pub(crate) fn check(&self) -> Result<()> {
        if self.source.is_log() {
            return self.check_for_log();
        }
        if self.selection.any_port && self.source == SourceSpec::Sockets {
            return Err(Error::NotAnyPort {
                origin: self.source.to_string(),
            });
        }
        if self.source != SourceSpec::Sockets {
            self.check_for_packets()?;
        }
        match self.attachment {
            Some(attachment) if !matches!(self.source, SourceSpec::Interface(_)) => {
                Err(Error::NotOfInterface {
                    origin: self.source.to_string(),
                    hooks: attachment.name(),
                })
            }
            _ => self.check_responses(),
        }
    }

    /// Refuses what only the server's sockets can tell.
    pub(crate) fn check_for_packets(&self) -> Result<()> {
        let option = self.narrowed_by().or_else(|| {
            let asked = [
                (self.responses != Responses::Bytes, Setting::Responses),
                (self.hooks.is_some(), Setting::Hooks),
                (self.sample.connections > 1, Setting::SampleConnections),
            ];
            first(&asked)
        });
        option.map_or(Ok(()), |option| {
            Err(Error::NotForSource {
                origin: self.source.to_string(),
                option,
            })
        })
    }

    /// Refuses options that select servers, connections or hooks: a log comes from one server and uses no kernel program.
    fn check_for_log(&self) -> Result<()> {
        let ports = !self.selection.ports.is_empty() || self.selection.any_port;
        let hooks = self.hooks.is_some() || self.attachment.is_some();
        let option = first(&[
            (ports, Setting::Ports),
            (hooks, Setting::Hooks),
            (self.responses != Responses::Bytes, Setting::Responses),
        ])
        .or_else(|| self.narrowed_by());
        option.map_or(Ok(()), |option| Err(Error::NotForLog { option }))
    }

    /// The first option that narrows the connections followed, ports aside.
    fn narrowed_by(&self) -> Option<Setting> {
        let Selection {
            side,
            ports: _,
            any_port: _,
            sockets,
            pids,
            cgroups,
            network_namespaces,
        } = &self.selection;
        first(&[
            (*side == Side::Client, Setting::Side),
            (!sockets.is_empty(), Setting::Sockets),
            (!pids.is_empty(), Setting::Pids),
            (!cgroups.is_empty(), Setting::Cgroups),
            (!network_namespaces.is_empty(), Setting::NetworkNamespaces),
        ])
    }

    /// Refuses lengths alone for clients, which read in arbitrary chunks.
    fn check_responses(&self) -> Result<()> {
        if self.selection.side == Side::Client && self.responses == Responses::Lengths {
            return Err(Error::Selection {
                option: Setting::Side,
                wanted: "client".to_owned(),
                found: "clients read in arbitrary chunks, so lengths say nothing: keep the `bytes` or `none` of responses"
                    .to_owned(),
            });
        }
        Ok(())
    }
}

fn first(asked: &[(bool, Setting)]) -> Option<Setting> {
    asked
        .iter()
        .find_map(|(is_asked, option)| is_asked.then_some(*option))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_that_was_asked_for_replaces_the_guard_on_it() {
        let guarded = RecordOptions {
            limits: Limits {
                max_written: Some(10),
                ..Limits::default()
            },
            ..RecordOptions::new(SourceSpec::Sockets)
        };
        let asked = RecordOptions {
            max_size: Some(20),
            ..guarded.clone()
        };
        assert_eq!(guarded.limits(true).max_written, Some(10));
        assert_eq!(asked.limits(true).max_written, None);
    }

    #[test]
    fn a_source_refuses_what_it_cannot_tell_and_takes_the_rest() {
        type Change = fn(&mut RecordOptions);
        let pids: Change = |options| options.selection.pids = vec![1];
        let ports: Change = |options| options.selection.ports = vec![1];
        let connections: Change = |options| options.sample.connections = 2;
        let keys: Change = |options| options.sample.keys = 2;
        let rotate: Change = |options| options.rotate.bytes = Some(1);
        let tcx: Change = |options| options.attachment = Some(Attachment::Tcx);
        let lengths: Change = |options| {
            options.selection.side = Side::Client;
            options.responses = Responses::Lengths;
        };
        let watch = SourceSpec::Watch("host:1".into());
        let file = SourceSpec::Files(vec!["x.pcap".into()]);
        for (source, change, is_fine) in [
            (SourceSpec::Sockets, pids, true),
            (SourceSpec::Sockets, tcx, false),
            (SourceSpec::Sockets, lengths, false),
            (SourceSpec::Interface("lo".into()), tcx, true),
            (file.clone(), pids, false),
            (file.clone(), connections, false),
            (file.clone(), ports, true),
            (file, keys, true),
            (watch.clone(), ports, false),
            (watch.clone(), pids, false),
            (watch.clone(), connections, true),
            (watch.clone(), keys, true),
            (watch, rotate, true),
        ] {
            let mut options = RecordOptions::new(source);
            change(&mut options);
            assert_eq!(options.check().is_ok(), is_fine, "{options:?}");
        }
    }
}
