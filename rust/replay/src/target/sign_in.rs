//! A user and a password from a file or the environment → the request that signs a connection in, and its answer.

use std::fmt;
use std::io;
use std::path::PathBuf;

use membench_protocol::Status;
use membench_protocol::binary::{Code, Opcode, Tag, parse_response};
use membench_protocol::encode::{Encoder, Full};
use zeroize::Zeroizing;

use crate::{Error, Result, file};

/// Most bytes of a secret.
const SECRET_MAX: u64 = 4096;

/// Room for a request beside its secret, bytes.
const ROOM: usize = 128;

/// Way to sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// A `set` whose value is user and password (`memcached -Y`).
    Ascii,
    /// The mechanism PLAIN in the binary protocol (`memcached -S`).
    Sasl,
}

impl Method {
    /// Parses `ascii` or `sasl`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "ascii" => Some(Self::Ascii),
            "sasl" => Some(Self::Sasl),
            _ => None,
        }
    }
}

/// Place of a secret: one line, `USER:PASSWORD`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Secret {
    /// A file.
    File(PathBuf),
    /// An environment variable.
    Environment(String),
}

impl fmt::Display for Secret {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(to, "{}", path.display()),
            Self::Environment(name) => write!(to, "the environment variable {name}"),
        }
    }
}

/// Sign-in as it is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignIn {
    /// Way to sign in.
    pub method: Method,
    /// Place of user and password.
    pub secret: Secret,
}

/// Judgement of the start of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Incomplete,
    Accepted,
    Refused,
}

/// Request that signs in. Nothing shows what it holds.
pub(crate) struct Credentials {
    pub(crate) method: Method,
    request: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("Credentials")
            .field("method", &self.method)
            .finish_non_exhaustive()
    }
}

impl Credentials {
    /// Reads user and password.
    pub(crate) fn read(sign_in: &SignIn) -> Result<Self> {
        let unreadable = |source| Error::SecretUnreadable {
            place: sign_in.secret.to_string(),
            source,
        };
        let text = read(&sign_in.secret).map_err(unreadable)?;
        let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let malformed = || Error::SecretMalformed {
            place: sign_in.secret.to_string(),
        };
        let middle = line.iter().position(|byte| *byte == b':');
        let (user, password) = middle
            .and_then(|middle| Some((line.get(..middle)?, line.get(middle + 1..)?)))
            .filter(|(user, password)| !user.is_empty() && !password.is_empty())
            .ok_or_else(malformed)?;
        let request = match sign_in.method {
            Method::Ascii => ascii(user, password),
            Method::Sasl => sasl(user, password).map_err(|_| malformed())?,
        };
        Ok(Self {
            method: sign_in.method,
            request,
        })
    }

    /// Returns the bytes of the request.
    pub(crate) fn request(&self) -> &[u8] {
        &self.request
    }

    /// Judges the bytes of an answer that have come so far.
    pub(crate) fn judge(&self, answer: &[u8]) -> Verdict {
        match self.method {
            Method::Ascii if !answer.contains(&b'\n') => Verdict::Incomplete,
            Method::Ascii if answer.starts_with(b"STORED\r\n") => Verdict::Accepted,
            Method::Ascii => Verdict::Refused,
            Method::Sasl => match parse_response(answer) {
                Ok(Status::Complete { value, consumed }) => {
                    if (answer.len() as u64) < consumed as u64 + value.rest_size() {
                        Verdict::Incomplete
                    } else if value.code == Code::Success {
                        Verdict::Accepted
                    } else {
                        Verdict::Refused
                    }
                }
                Ok(Status::Partial) => Verdict::Incomplete,
                Err(_) => Verdict::Refused,
            },
        }
    }
}

fn read(secret: &Secret) -> io::Result<Zeroizing<Vec<u8>>> {
    match secret {
        Secret::File(path) => file::read(path, SECRET_MAX),
        Secret::Environment(name) => {
            let value = std::env::var_os(name).ok_or_else(unset)?;
            Ok(Zeroizing::new(value.into_encoded_bytes()))
        }
    }
}

fn unset() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "it is not set")
}

/// Makes a `set` of any key, with user and password as its value.
fn ascii(user: &[u8], password: &[u8]) -> Zeroizing<Vec<u8>> {
    let size = user.len() + 1 + password.len();
    let mut request = Zeroizing::new(Vec::with_capacity(size + ROOM));
    request.extend(format!("set auth 0 0 {size}\r\n").into_bytes());
    for part in [user, b" ", password, b"\r\n"] {
        request.extend(part);
    }
    request
}

/// Makes a binary request whose value is an empty identity, the user and the password, each after a zero but the first.
fn sasl(user: &[u8], password: &[u8]) -> std::result::Result<Zeroizing<Vec<u8>>, Full> {
    let mut request = Zeroizing::new(vec![0; ROOM]);
    let mut encoder = Encoder::new(&mut request);
    let tag = Tag {
        opcode: Opcode::SASL_AUTH,
        opaque: 0,
        cas: 0,
    };
    let size = 2 + user.len() + password.len();
    encoder.binary_addition(tag, b"PLAIN", u32::try_from(size).map_err(|_| Full)?)?;
    let written = encoder.written();
    request.truncate(written);
    request.reserve_exact(size);
    for part in [b"\0", user, b"\0", password] {
        request.extend(part);
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(text: &str, method: Method) -> Result<Credentials> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Credentials::read(&SignIn {
            method,
            secret: Secret::File(file.path().to_owned()),
        })
    }

    #[test]
    fn user_and_password_become_the_request_of_each_method() {
        let found = credentials("me:a:secret\r\nother:one\n", Method::Ascii).unwrap();
        assert_eq!(found.request(), b"set auth 0 0 11\r\nme a:secret\r\n");
        let found = credentials("me:secret", Method::Sasl).unwrap();
        let mut expected = vec![0x80, 0x21, 0, 5, 0, 0, 0, 0, 0, 0, 0, 15];
        expected.extend([0; 12]);
        expected.extend(b"PLAIN\0me\0secret");
        assert_eq!(found.request(), expected);
    }

    #[test]
    fn a_secret_is_in_no_message() {
        for text in ["", "secret", ":secret", "user:", "\nme:secret"] {
            let error = credentials(text, Method::Ascii).unwrap_err();
            assert!(matches!(error, Error::SecretMalformed { .. }), "{text:?}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
        let found = credentials("me:hunter2", Method::Sasl).unwrap();
        assert!(!format!("{found:?}").contains("hunter2"));
        assert!(!format!("{found:?}").contains("50, 117"), "{found:?}");
    }

    #[test]
    fn an_answer_is_judged_once_it_is_whole() {
        let ascii = credentials("me:secret", Method::Ascii).unwrap();
        let table: [(&[u8], Verdict); 4] = [
            (b"", Verdict::Incomplete),
            (b"STORED\r", Verdict::Incomplete),
            (b"STORED\r\n", Verdict::Accepted),
            (b"CLIENT_ERROR authentication failure\r\n", Verdict::Refused),
        ];
        for (answer, expected) in table {
            assert_eq!(ascii.judge(answer), expected, "{answer:?}");
        }
        let sasl = credentials("me:secret", Method::Sasl).unwrap();
        let mut answer = vec![0; 24];
        (answer[0], answer[1], answer[11]) = (0x81, 0x21, 3);
        assert_eq!(sasl.judge(&answer), Verdict::Incomplete);
        answer.extend(b"yes");
        assert_eq!(sasl.judge(&answer), Verdict::Accepted);
        answer[7] = 0x20;
        assert_eq!(sasl.judge(&answer), Verdict::Refused);
        assert_eq!(sasl.judge(b"ERROR\r\n"), Verdict::Refused);
    }
}
