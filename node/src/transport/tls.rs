//! TLS identity: raw ed25519 public keys (RFC 7250), TLS 1.3 only, both sides show one.
//!
//! TLS proves the possession of a key and nothing more; who may say what is decided by the greeting.

use std::sync::{Arc, OnceLock};

use pacmesh_protocol::{
    entry::{ALPN, JOIN_ALPN},
    ids::NodeId,
};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible,
    ServerConfig, SignatureScheme,
    client::{
        AlwaysResolvesClientRawPublicKeys, Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key},
    pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime},
    server::{
        AlwaysResolvesServerRawPublicKeys,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::CertifiedKey,
    version::TLS13,
};
use zeroize::Zeroizing;

use super::error::TransportError;

/// What precedes the 32 key bytes in a SubjectPublicKeyInfo (RFC 8410, 4).
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];
/// What precedes the 32 seed bytes in a PKCS #8 private key (RFC 8410, 7).
const PKCS8: [u8; 16] = [
    0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20,
];
/// TLS wants a name; raw keys have none.
pub(crate) const SERVER_NAME: &str = "pacmesh.invalid";

/// One node's TLS identity.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    provider: Arc<CryptoProvider>,
    key: Arc<CertifiedKey>,
    node: NodeId,
}

impl Identity {
    pub(crate) fn new(seed: &[u8; 32]) -> Result<Self, TransportError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut pkcs8 = Zeroizing::new(Vec::with_capacity(PKCS8.len() + seed.len()));
        pkcs8.extend_from_slice(&PKCS8);
        pkcs8.extend_from_slice(seed);
        let der = PrivatePkcs8KeyDer::from(pkcs8.as_slice()).clone_key();
        let key = provider
            .key_provider
            .load_private_key(der.into())
            .map_err(TransportError::Tls)?;
        let spki = key
            .public_key()
            .ok_or_else(|| TransportError::Key("it has no public half".into()))?;
        let certificate = CertificateDer::from(spki.to_vec());
        let node = node_of(&certificate)
            .ok_or_else(|| TransportError::Key("its public half is not an ed25519 key".into()))?;
        let key = Arc::new(CertifiedKey::new(vec![certificate], key));
        Ok(Self { provider, key, node })
    }

    /// The node that this identity proves.
    pub(crate) fn node(&self) -> NodeId {
        self.node
    }

    /// The listening side: any key may come, on both protocols.
    pub(crate) fn server(&self) -> Result<QuicServerConfig, Error> {
        let resolver = AlwaysResolvesServerRawPublicKeys::new(self.key.clone());
        let mut tls = ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(Arc::new(self.judge(None)))
            .with_cert_resolver(Arc::new(resolver));
        tls.alpn_protocols = vec![ALPN.to_vec(), JOIN_ALPN.to_vec()];
        // A resumed session would skip the proof of the key.
        tls.send_tls13_tickets = 0;
        QuicServerConfig::try_from(tls).map_err(no_initial_suite)
    }

    /// The dialling side: exactly `expect`, or any key.
    pub(crate) fn client(
        &self,
        expect: Option<NodeId>,
        protocol: &[u8],
    ) -> Result<(QuicClientConfig, Arc<Judge>), Error> {
        let judge = Arc::new(self.judge(expect));
        let resolver = AlwaysResolvesClientRawPublicKeys::new(self.key.clone());
        let mut tls = ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(judge.clone())
            .with_client_cert_resolver(Arc::new(resolver));
        tls.alpn_protocols = vec![protocol.to_vec()];
        tls.resumption = Resumption::disabled();
        Ok((QuicClientConfig::try_from(tls).map_err(no_initial_suite)?, judge))
    }

    fn judge(&self, expect: Option<NodeId>) -> Judge {
        Judge {
            algorithms: self.provider.signature_verification_algorithms,
            expect,
            seen: OnceLock::new(),
        }
    }
}

/// The node whose key the other side of a finished handshake has proved.
pub(crate) fn peer_of(connection: &quinn::Connection) -> Option<NodeId> {
    let identity = connection.peer_identity()?;
    let chain = identity.downcast_ref::<Vec<CertificateDer<'static>>>()?;
    node_of(chain.first()?)
}

/// The application protocol that a finished handshake agreed on.
pub(crate) fn protocol_of(connection: &quinn::Connection) -> Option<Vec<u8>> {
    let data = connection.handshake_data()?;
    data.downcast_ref::<quinn::crypto::rustls::HandshakeData>()?
        .protocol
        .clone()
}

fn node_of(certificate: &CertificateDer<'_>) -> Option<NodeId> {
    let key = certificate.as_ref().strip_prefix(&SPKI)?;
    key.try_into().ok().map(NodeId)
}

fn no_initial_suite(_: quinn::crypto::rustls::NoInitialCipherSuite) -> Error {
    Error::General("the provider has no cipher suite for QUIC's first packets".into())
}

/// Judges the other side's key, for both sides.
#[derive(Debug)]
pub(crate) struct Judge {
    algorithms: WebPkiSupportedAlgorithms,
    expect: Option<NodeId>,
    seen: OnceLock<NodeId>,
}

impl Judge {
    /// The key that the other side showed, proved or not; for error messages only.
    pub(crate) fn seen(&self) -> Option<NodeId> {
        self.seen.get().copied()
    }

    fn judge(&self, certificate: &CertificateDer<'_>) -> Result<(), Error> {
        let node = node_of(certificate).ok_or(CertificateError::BadEncoding)?;
        self.seen.get_or_init(|| node);
        match self.expect {
            Some(expected) if expected != node => {
                Err(CertificateError::ApplicationVerificationFailure.into())
            }
            _ => Ok(()),
        }
    }

    fn judge_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = SubjectPublicKeyInfoDer::from(certificate.as_ref());
        verify_tls13_signature_with_raw_key(message, &key, signed, &self.algorithms)
    }
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.judge(end_entity).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::ServerDoesNotSupportTls12Or13.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.judge_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for Judge {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.judge(end_entity).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::ServerDoesNotSupportTls12Or13.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.judge_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}
