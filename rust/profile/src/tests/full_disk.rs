//! A full disk ends a recording without losing what was written.

use std::process::Command as Process;

use super::super::State;
use super::*;
use crate::Error;

/// A tmpfs that is unmounted when dropped.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Process::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(folder.path())
            .output()
            .is_ok_and(|output| output.status.success());
        mounted.then_some(Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Process::new("umount").arg(self.0.path()).status();
        assert!(unmounted.unwrap().success());
    }
}

/// Events whose keys do not compress.
fn noise(start: u32) -> Vec<Event> {
    (start..start + 5_000)
        .map(|number| {
            let noise = u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            Event {
                key: Some(noise ^ noise >> 29),
                server_time: Some(noise.rotate_left(13)),
                ..event(number)
            }
        })
        .collect()
}

#[test]
#[ignore = "mounts a tmpfs: needs root"]
fn a_full_disk_leaves_a_sealed_profile_of_what_was_written() {
    let disk = SmallDisk::mount("16m").expect("the right to mount a tmpfs");
    let path = disk.0.path().join("test.mb");
    let mut writer = writer(&path, ONE_PART);
    let mut taken = 0;
    let error = loop {
        let result = writer
            .append(&noise(taken), &OptionsTable::default())
            .and_then(|()| writer.flush());
        match result {
            Ok(()) => taken += 5_000,
            Err(error) => break error,
        }
    };
    let full = |source: &std::io::Error| source.raw_os_error() == Some(libc::ENOSPC);
    assert!(
        matches!(&error, Error::Io { source, .. } if full(source)),
        "{error}"
    );
    assert!(taken > 50_000, "{taken}");
    let again = writer.append(&noise(taken), &OptionsTable::default());
    assert!(matches!(&again, Err(Error::Io { source, .. }) if full(source)));
    let manifest = writer.finish(End::default()).unwrap();
    assert_eq!(manifest.state, State::Sealed);
    assert_eq!(manifest.ledger.complete, Some(false));
    assert!(manifest.ledger.unwritten >= 5_000);
    assert!(
        manifest
            .write_error
            .unwrap()
            .contains("No space left on device")
    );
    let profile = Profile::open(&path).unwrap();
    let events = read(&profile);
    assert!(events.len() >= taken as usize);
    assert_eq!(events[..5_000], noise(0));
    assert!(!names(&path).iter().any(|name| name.contains(".part")));
}
