//! Keys → key ids: SipHash-2-4 under a 128-bit secret that membench never writes anywhere.

mod error;
mod names;

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::process::geteuid;
use siphasher::sip::SipHasher24;
use zeroize::{Zeroize, Zeroizing};

use crate::open_file;

pub use error::KeyError;
pub use names::Names;

/// The text whose id is the fingerprint. It contains spaces and a line end, so no text key is equal to it.
const FINGERPRINT: &[u8] = b"membench key fingerprint\r\n";
/// Bytes read from a key file: 32 digits and a line end, with room to notice that there is more.
const LONGEST: u64 = 64;

/// A hasher of keys under a secret, which is wiped on drop and never printed.
///
/// ```
/// use membench_decode::privacy::KeyHasher;
///
/// let (one, other) = (KeyHasher::random()?, KeyHasher::random()?);
/// assert_eq!(one.id(b"user:42"), one.id(b"user:42"));
/// assert_ne!(one.id(b"user:42"), other.id(b"user:42"));
///
/// // Ids of two captures are comparable only if the fingerprints are equal.
/// assert_ne!(one.fingerprint(), other.fingerprint());
/// # Ok::<(), membench_decode::privacy::KeyError>(())
/// ```
pub struct KeyHasher {
    secret: Box<Secret>,
    names: Option<Names>,
}

/// A page of memory that holds a secret and nothing else, so that it can be locked and left out of dumps as a whole. It is
/// never moved, since that would leave a copy, and is wiped when dropped.
#[repr(align(4096))]
pub struct Secret {
    key: [u8; 16],
    rest: [u8; 4080],
}

impl Secret {
    fn empty() -> Box<Self> {
        Box::new(Self {
            key: [0; 16],
            rest: [0; 4080],
        })
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.key.zeroize();
        self.rest.zeroize();
    }
}

/// Overwrites the next `BYTES` of the stack, where functions that the caller has called before left copies: hashing spills
/// the secret there.
#[inline(never)]
pub fn wipe_stack<const BYTES: usize>() {
    let mut room = [0_u8; BYTES];
    room.zeroize();
    std::hint::black_box(&mut room);
}

impl KeyHasher {
    /// Creates a hasher with a secret of its own: the ids of two such captures have nothing in common.
    pub fn random() -> Result<Self, KeyError> {
        let mut secret = Secret::empty();
        getrandom::fill(&mut secret.key).map_err(KeyError::Random)?;
        Ok(Self {
            secret,
            names: None,
        })
    }

    /// Creates a hasher with the secret in a file that only its owner can read: 16 bytes, or 32 hexadecimal digits. The
    /// owner must be the calling user, root or, if given, `user`. The ids of captures that use the same key file can be
    /// joined.
    pub fn from_file(path: &Path, user: Option<u32>) -> Result<Self, KeyError> {
        let content = read_private(path, user)?;
        parse(&content).ok_or_else(|| KeyError::File {
            path: path.into(),
            found: format!("{} bytes that are not a key", content.len()),
        })
    }

    /// Returns the id of a key.
    #[must_use]
    #[inline]
    pub fn id(&self, key: &[u8]) -> u64 {
        let id = SipHasher24::new_with_key(&self.secret.key).hash(key);
        if let Some(names) = &self.names {
            names.note(id, key);
        }
        id
    }

    /// The memory that holds the secret, to be locked and left out of dumps.
    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    /// Makes the hasher note the keys that it hashes in `names`, if given.
    #[must_use]
    pub fn with_names(mut self, names: Option<Names>) -> Self {
        self.names = names;
        self
    }

    /// Returns 16 hexadecimal digits that are equal for two captures if they used the same secret. They do not reveal
    /// it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        format!(
            "{:016x}",
            SipHasher24::new_with_key(&self.secret.key).hash(FINGERPRINT)
        )
    }
}

/// Reads a file, which must grant no permission to group and others and belong to nobody else.
fn read_private(path: &Path, user: Option<u32>) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let failed = |source: std::io::Error| KeyError::Io {
        path: path.into(),
        source,
    };
    let file = open_file(path).map_err(failed)?;
    let facts = file.metadata().map_err(failed)?;
    let owners = [Some(0), Some(geteuid().as_raw()), user];
    if !owners.contains(&Some(facts.uid())) {
        return Err(KeyError::Stranger {
            path: path.into(),
            uid: facts.uid(),
        });
    }
    let mode = facts.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyError::Readable {
            path: path.into(),
            mode,
        });
    }
    // Reserved up front: growing would leave copies of the secret in freed memory.
    let mut content = Zeroizing::new(Vec::with_capacity(128));
    file.take(LONGEST)
        .read_to_end(&mut content)
        .map_err(failed)?;
    Ok(content)
}

fn parse(content: &[u8]) -> Option<KeyHasher> {
    let mut secret = Secret::empty();
    if content.len() == secret.key.len() {
        secret.key.copy_from_slice(content);
        return Some(KeyHasher {
            secret,
            names: None,
        });
    }
    let digits = content.trim_ascii_end();
    if digits.len() != 32 {
        return None;
    }
    for (byte, pair) in secret.key.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(KeyHasher {
        secret,
        names: None,
    })
}

fn digit(character: u8) -> Option<u8> {
    char::from(character)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, chown};

    use membench_event::Failure;

    use super::*;

    const DIGITS: &[u8] = b"000102030405060708090a0b0c0d0e0f";

    fn with_file(content: &[u8], mode: u32) -> Result<KeyHasher, KeyError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        KeyHasher::from_file(&path, None)
    }

    #[test]
    fn ids_are_the_published_test_vectors_of_siphash_2_4() {
        let hasher = with_file(DIGITS, 0o600).unwrap();
        assert_eq!(hasher.id(b""), 0x726f_db47_dd0e_0e31);
        let message: Vec<u8> = (0..15).collect();
        assert_eq!(hasher.id(&message), 0xa129_ca61_49be_45e5);
    }

    #[test]
    fn digits_and_raw_bytes_are_the_same_key() {
        let raw: Vec<u8> = (0..16).collect();
        let ids = [DIGITS, &[DIGITS, b"\n"].concat(), &raw]
            .map(|content| with_file(content, 0o400).unwrap().id(b"a key"));
        assert_eq!(ids, [ids[0]; 3]);
    }

    #[test]
    fn two_captures_have_different_ids_and_fingerprints() {
        let (one, other) = (KeyHasher::random().unwrap(), KeyHasher::random().unwrap());
        assert_ne!(one.id(b"a key"), other.id(b"a key"));
        assert_ne!(one.fingerprint(), other.fingerprint());
        assert_eq!(one.fingerprint().len(), 16);
    }

    #[test]
    fn key_files_that_others_can_read_are_refused() {
        for mode in [0o640, 0o604, 0o610, 0o666] {
            let error = with_file(DIGITS, mode).err().unwrap();
            assert!(error.to_string().contains(&format!("mode {mode:04o}")));
            let hint = error.hint().unwrap().for_command_line();
            assert!(hint.starts_with("`chmod 600 "));
        }
    }

    #[test]
    fn key_files_of_another_user_are_refused() {
        const NOBODY: u32 = 65_534;
        if !geteuid().is_root() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs::write(&path, DIGITS).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        chown(&path, Some(NOBODY), None).unwrap();
        let error = KeyHasher::from_file(&path, None).err().unwrap();
        assert!(
            error
                .to_string()
                .ends_with("this key file belongs to uid 65534")
        );
        assert!(KeyHasher::from_file(&path, Some(NOBODY)).is_ok());
    }

    #[test]
    fn a_key_file_that_never_ends_is_refused() {
        use rustix::fs::{CWD, FileType, Mode, mknodat};

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let error = KeyHasher::from_file(&path, None).err().unwrap();
        assert!(error.to_string().contains("it is a pipe"), "{error}");
        assert_eq!(error.class(), membench_event::Class::Usage);
    }

    #[test]
    fn a_file_that_is_not_a_key_is_refused() {
        let contents: [&[u8]; 6] = [
            b"",
            b"0011",
            b"000102030405060708090a0b0c0d0e0g",
            b"000102030405060708090a0b0c0d0e0f0",
            b"000102030405060708090a0b0c0d0e\xff\xff",
            &[b'0'; 80],
        ];
        for content in contents {
            let error = with_file(content, 0o600).err().unwrap();
            assert!(matches!(error, KeyError::File { .. }), "{content:?}");
        }
    }
}
