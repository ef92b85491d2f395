//! Files of certificates and keys → TLS sessions with a target, and failures of TLS in words.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{AlertDescription, CertificateError, ClientConfig, ClientConnection, RootCertStore};

use zeroize::Zeroizing;

use crate::{Error, Result, file};

/// Files in which systems keep the certificates that they trust: Debian and Alpine, Fedora, openSUSE.
const TRUSTED: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
];

/// Overrides [`TRUSTED`], as for OpenSSL.
const TRUSTED_VARIABLE: &str = "SSL_CERT_FILE";

/// Most bytes of a file of certificates: those that a system trusts have 250 kB.
const PEM_MAX: u64 = 16 << 20;

/// TLS as it is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// PEM file of the certificates that may sign the target's; `None` are those that the system trusts.
    pub ca: Option<PathBuf>,
    /// PEM file of the certificate to show to the target, with those that sign it.
    pub certificate: Option<PathBuf>,
    /// PEM file of the key of `certificate`.
    pub key: Option<PathBuf>,
    /// Name that the target's certificate must have; `None` is the host of the target's address.
    pub name: Option<String>,
}

/// Maker of TLS sessions with one target.
#[derive(Clone, Debug)]
pub(crate) struct TlsClient {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl TlsClient {
    /// Reads the files of `tls`, for the target called `target`.
    pub(crate) fn new(tls: &Tls, target: &str) -> Result<Self> {
        let name = server_name(tls, target)?;
        let mut roots = RootCertStore::empty();
        let file = tls.ca.clone().map_or_else(trusted, Ok)?;
        for certificate in certificates(&file)? {
            // A bundle may hold certificates of a form that nothing here can use; the others still count.
            let _ = roots.add(certificate);
        }
        if roots.is_empty() {
            return Err(unusable(
                &file,
                "no certificate that can sign others is in it",
            ));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| unusable(&file, error))?
            .with_root_certificates(roots);
        let config = match (&tls.certificate, &tls.key) {
            (None, None) => builder.with_no_client_auth(),
            (Some(certificate), Some(key)) => {
                let chain = certificates(certificate)?;
                let text = text(key)?;
                let found = PrivateKeyDer::from_pem_slice(&text);
                let found = found.map_err(|error| unreadable(key, error))?;
                builder
                    .with_client_auth_cert(chain, found)
                    .map_err(|error| unusable(key, error))?
            }
            _ => return Err(Error::TlsHalf),
        };
        Ok(Self {
            config: Arc::new(config),
            name,
        })
    }

    /// Begins a session.
    pub(crate) fn session(&self) -> io::Result<ClientConnection> {
        let session = ClientConnection::new(Arc::clone(&self.config), self.name.clone());
        let mut session = session.map_err(io::Error::other)?;
        session.set_buffer_limit(None);
        Ok(session)
    }
}

/// Returns the name that the target's certificate must have.
fn server_name(tls: &Tls, target: &str) -> Result<ServerName<'static>> {
    let host = || {
        let (host, _) = target.rsplit_once(':')?;
        (!target.starts_with("unix:")).then(|| host.trim_matches(['[', ']']).to_owned())
    };
    let name = tls.name.clone().or_else(host);
    let refused = || Error::TlsName {
        target: target.to_owned(),
    };
    ServerName::try_from(name.ok_or_else(refused)?).map_err(|_| refused())
}

fn trusted() -> Result<PathBuf> {
    if let Some(given) = std::env::var_os(TRUSTED_VARIABLE) {
        return Ok(given.into());
    }
    let found = TRUSTED
        .into_iter()
        .map(PathBuf::from)
        .find(|file| file.exists());
    found.ok_or(Error::TlsNoTrust)
}

fn text(file: &Path) -> Result<Zeroizing<Vec<u8>>> {
    file::read(file, PEM_MAX).map_err(|error| unusable(file, error))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let text = text(file)?;
    let found: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(|error| unreadable(file, error))?;
    if found.is_empty() {
        return Err(unusable(file, "no certificate is in it"));
    }
    Ok(found)
}

fn unreadable(file: &Path, error: rustls::pki_types::pem::Error) -> Error {
    use rustls::pki_types::pem::Error as Pem;
    match error {
        Pem::Io(source) => unusable(file, source),
        Pem::NoItemsFound => unusable(file, "nothing of that kind is in it"),
        other => unusable(file, other),
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "errors and texts are given as they come"
)]
fn unusable(file: &Path, reason: impl ToString) -> Error {
    Error::TlsFile {
        path: file.to_owned(),
        reason: reason.to_string(),
    }
}

/// Cause of a failure of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsFault {
    /// No trusted certificate signed the target's.
    Untrusted,
    /// The target's certificate has other names.
    OtherName,
    /// The target's certificate has expired, or is not valid yet.
    Expired,
    /// The target refused this client, or its certificate.
    Refused,
    /// The target does not speak TLS.
    NotTls,
    /// Any other cause.
    Other,
}

/// Returns the cause of a failure if TLS failed, and the library's words for it.
pub(crate) fn fault(error: &io::Error) -> Option<(TlsFault, String)> {
    use rustls::Error as E;
    let found = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    let fault = match found {
        E::InvalidCertificate(certificate) => match certificate {
            CertificateError::UnknownIssuer => TlsFault::Untrusted,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                TlsFault::OtherName
            }
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => TlsFault::Expired,
            _ => TlsFault::Other,
        },
        E::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::HandshakeFailure
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied,
        ) => TlsFault::Refused,
        E::InvalidMessage(_) => TlsFault::NotTls,
        _ => TlsFault::Other,
    };
    Some((fault, found.to_string()))
}
