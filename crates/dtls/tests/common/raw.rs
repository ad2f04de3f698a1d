//! A peer that is not ours: BoringSSL with settings that our endpoints never have, on the real clock.

use std::collections::VecDeque;
use std::io::{self, Read, Write};

use boring::asn1::Asn1Time;
use boring::bn::BigNum;
use boring::ec::{EcGroup, EcKey};
use boring::hash::MessageDigest;
use boring::nid::Nid;
use boring::pkey::{PKey, Private};
use boring::rsa::Rsa;
use boring::ssl::{Ssl, SslContext, SslContextBuilder, SslMethod, SslStream, SslVerifyMode, SslVersion};
use boring::x509::{X509, X509NameBuilder};
use control::{Fingerprint, HashAlgorithm};

/// Certificate and key.
pub struct Credential {
    pub certificate: X509,
    pub key: PKey<Private>,
}

impl Credential {
    pub fn rsa(bits: u32) -> Self {
        Self::of(PKey::from_rsa(Rsa::generate(bits).unwrap()).unwrap())
    }

    pub fn ec() -> Self {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        Self::of(PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap())
    }

    fn of(key: PKey<Private>) -> Self {
        let mut name = X509NameBuilder::new().unwrap();
        name.append_entry_by_nid(Nid::COMMONNAME, "peer").unwrap();
        let name = name.build();
        let mut builder = X509::builder().unwrap();
        builder.set_version(2).unwrap();
        let serial = BigNum::from_u32(1).unwrap().to_asn1_integer().unwrap();
        builder.set_serial_number(&serial).unwrap();
        builder.set_subject_name(&name).unwrap();
        builder.set_issuer_name(&name).unwrap();
        builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
        builder.set_not_after(&Asn1Time::days_from_now(30).unwrap()).unwrap();
        builder.set_pubkey(&key).unwrap();
        builder.sign(&key, MessageDigest::sha256()).unwrap();
        Self { certificate: builder.build(), key }
    }

    pub fn fingerprint(&self, hash: HashAlgorithm) -> Fingerprint {
        let digest = match hash {
            HashAlgorithm::Sha1 => MessageDigest::sha1(),
            HashAlgorithm::Sha512 => MessageDigest::sha512(),
            _ => MessageDigest::sha256(),
        };
        Fingerprint::new(hash, &self.certificate.digest(digest).unwrap()).unwrap()
    }

    pub fn pem(&self) -> (Vec<u8>, Vec<u8>) {
        (self.certificate.to_pem().unwrap(), self.key.private_key_to_pem_pkcs8().unwrap())
    }
}

#[derive(Default)]
pub struct Wire {
    pub incoming: VecDeque<Vec<u8>>,
    pub outgoing: VecDeque<Vec<u8>>,
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let datagram = self.incoming.pop_front().ok_or(io::ErrorKind::WouldBlock)?;
        buffer[..datagram.len()].copy_from_slice(&datagram);
        Ok(datagram.len())
    }
}

impl Write for Wire {
    fn write(&mut self, datagram: &[u8]) -> io::Result<usize> {
        self.outgoing.push_back(datagram.to_vec());
        Ok(datagram.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A context that verifies nothing and asks for nothing.
pub fn context(credential: Option<&Credential>, version: SslVersion) -> SslContextBuilder {
    let mut builder = SslContext::builder(SslMethod::dtls()).unwrap();
    builder.set_min_proto_version(Some(version)).unwrap();
    builder.set_max_proto_version(Some(version)).unwrap();
    builder.set_custom_verify_callback(SslVerifyMode::PEER, |_| Ok(()));
    if let Some(credential) = credential {
        builder.set_certificate(&credential.certificate).unwrap();
        builder.set_private_key(&credential.key).unwrap();
    }
    builder
}

pub struct RawPeer {
    pub stream: SslStream<Wire>,
    client: bool,
    pub done: bool,
    pub error: Option<String>,
}

impl RawPeer {
    pub fn new(context: SslContextBuilder, client: bool, mtu: u32) -> Self {
        let mut ssl = Ssl::new(&context.build()).unwrap();
        ssl.set_mtu(mtu).unwrap();
        let stream = SslStream::new(ssl, Wire::default()).unwrap();
        let mut peer = Self { stream, client, done: false, error: None };
        peer.advance();
        peer
    }

    pub fn handle(&mut self, datagram: Vec<u8>) {
        self.stream.get_mut().incoming.push_back(datagram);
        self.advance();
    }

    fn advance(&mut self) {
        if self.done {
            let _ = self.stream.ssl_read(&mut [0; 2048]);
            return;
        }
        let result = if self.client { self.stream.connect() } else { self.stream.accept() };
        match result {
            Ok(()) => self.done = true,
            Err(error) if error.would_block() => {}
            Err(error) => self.error = Some(error.to_string()),
        }
    }

    pub fn take(&mut self) -> Vec<Vec<u8>> {
        self.stream.get_mut().outgoing.drain(..).collect()
    }
}
