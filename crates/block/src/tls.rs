//! TLS settings.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use thiserror::Error;

/// Who has to use TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// Clients that ask for it.
    Optional,
    /// Everybody: without it a client learns nothing, not even the names of the exports.
    Required,
}

/// How to do TLS: versions 1.2 and 1.3, with a certificate.
#[derive(Clone)]
pub struct TlsConfig {
    pub(crate) server: Arc<ServerConfig>,
    pub(crate) mode: TlsMode,
    /// Clients have to show a certificate.
    pub(crate) certifies: bool,
}

/// What is wrong with the TLS settings.
#[derive(Debug, Error)]
pub enum TlsConfigError {
    /// Not a PEM file with what is needed.
    #[error("the {what} file holds no PEM {what}")]
    Pem {
        /// `certificate`, `private key` or `client CA`.
        what: &'static str,
        /// What the parser says.
        source: rustls::pki_types::pem::Error,
    },
    /// A certificate file with nothing in it.
    #[error("the {0} file holds no PEM certificate")]
    Empty(&'static str),
    /// The parts do not fit together, or TLS does not take one of them.
    #[error("the TLS certificate cannot be used: {0}")]
    Unusable(#[from] rustls::Error),
    /// The CA's certificate is no use for checking clients.
    #[error("the client CA cannot be used: {0}")]
    ClientCa(#[from] rustls::server::VerifierBuilderError),
}

impl TlsConfig {
    /// From the contents of PEM files: the server's certificate followed by those that vouch for
    /// it, and its key. With `client_ca`, clients must show a certificate that one of those signed.
    ///
    /// # Errors
    /// Something is no PEM, or the parts do not fit together.
    pub fn from_pem(
        certificate: &[u8],
        private_key: &[u8],
        client_ca: Option<&[u8]>,
        mode: TlsMode,
    ) -> Result<Self, TlsConfigError> {
        let chain = certificates(certificate, "certificate")?;
        let key = PrivateKeyDer::from_pem_slice(private_key)
            .map_err(|source| TlsConfigError::Pem { what: "private key", source })?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?;
        let builder = match client_ca {
            None => builder.with_no_client_auth(),
            Some(pem) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(pem, "client CA")? {
                    roots.add(certificate)?;
                }
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build()?)
            }
        };
        let server = Arc::new(builder.with_single_cert(chain, key)?);
        Ok(Self { server, mode, certifies: client_ca.is_some() })
    }
}

impl std::fmt::Debug for TlsConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The rest holds a private key.
        f.debug_struct("TlsConfig").field("mode", &self.mode).finish_non_exhaustive()
    }
}

fn certificates(
    pem: &[u8],
    what: &'static str,
) -> Result<Vec<CertificateDer<'static>>, TlsConfigError> {
    let chain = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| TlsConfigError::Pem { what, source })?;
    if chain.is_empty() { Err(TlsConfigError::Empty(what)) } else { Ok(chain) }
}
