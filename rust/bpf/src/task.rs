//! Processes and control groups → the numbers by which kernel programs know them.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// Inode number of the initial pid namespace.
/// <https://github.com/torvalds/linux/blob/v6.12/include/linux/proc_ns.h>
const INITIAL_PID_NAMESPACE: u64 = 0xEFFF_FFFC;
/// Magic number of the cgroup2 file system.
const CGROUP2: u64 = 0x6367_7270;

/// Returns device and inode number of this process's pid namespace; zeros if it is the initial one.
pub fn pid_namespace() -> [u64; 2] {
    match fs::metadata("/proc/self/ns/pid") {
        Ok(own) if own.ino() != INITIAL_PID_NAMESPACE => [own.dev(), own.ino()],
        _ => [0; 2],
    }
}

/// Returns the id of a control group (v2), which is its folder's inode number. The path can be the folder's, or as in
/// `/proc/PID/cgroup`; `None` if no group is there.
pub fn cgroup(path: &Path) -> Option<u64> {
    let below_mount = cgroup_mount().map(|mount| {
        let inside = path.strip_prefix("/").unwrap_or(path);
        mount.join(inside)
    });
    [Some(path.to_path_buf()), below_mount]
        .into_iter()
        .flatten()
        .find_map(|folder| cgroup_id(&folder))
}

fn cgroup_id(folder: &Path) -> Option<u64> {
    let kind = rustix::fs::statfs(folder).ok()?.f_type;
    let is_cgroup = u64::try_from(kind).is_ok_and(|kind| kind == CGROUP2);
    let found = fs::metadata(folder).ok()?;
    (is_cgroup && found.is_dir()).then(|| found.ino())
}

/// Returns the folder at which control groups (v2) are mounted.
pub fn cgroup_mount() -> Option<PathBuf> {
    let text = fs::read_to_string("/proc/self/mounts").ok()?;
    let mut mounts = text.lines().map(|line| line.split(' '));
    mounts.find_map(|mut fields| {
        let (_, folder, kind) = (fields.next()?, fields.next()?, fields.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(folder))
    })
}
