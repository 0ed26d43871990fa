//! The certificates of a cluster, made anew for each one.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// Signs the certificates of one cluster, and keeps them in a folder as `NAME.crt` and `NAME.key`.
pub(crate) struct Authority {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// A new one, with the key pair by which ServiceAccounts are told (`sa.key`, `sa.pub`).
    ///
    /// # Panics
    /// When `folder` can't be written.
    pub(crate) fn new(folder: &Path) -> Authority {
        let mut params = params(&[]);
        params.distinguished_name.push(DnType::CommonName, "larnax-test");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        let key = key();
        let certificate = params.self_signed(&key).unwrap_or_else(|error| panic!("no authority: {error}"));
        let authority = Authority { folder: folder.to_path_buf(), issuer: Issuer::new(params, key) };
        let accounts = self::key();
        for (name, text) in [
            ("ca.crt", certificate.pem()),
            ("ca.key", authority.issuer.key().serialize_pem()),
            ("sa.key", accounts.serialize_pem()),
            ("sa.pub", accounts.public_key_pem()),
        ] {
            authority.write(name, &text);
        }
        authority
    }

    /// A certificate for a server and client called `common_name`, in `organization` unless that is empty, that answers to
    /// `names`.
    pub(crate) fn sign(&self, name: &str, common_name: &str, organization: &str, names: &[&str]) {
        let mut params = params(names);
        params.distinguished_name.push(DnType::CommonName, common_name);
        if !organization.is_empty() {
            params.distinguished_name.push(DnType::OrganizationName, organization);
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = key();
        let signed =
            params.signed_by(&key, &self.issuer).unwrap_or_else(|error| panic!("no certificate: {error}"));
        self.write(&format!("{name}.crt"), &signed.pem());
        self.write(&format!("{name}.key"), &key.serialize_pem());
    }

    /// The path of one of its files.
    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.path(file);
        fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

fn key() -> KeyPair {
    KeyPair::generate().unwrap_or_else(|error| panic!("no key: {error}"))
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params =
        CertificateParams::new(names).unwrap_or_else(|error| panic!("a name of a certificate: {error}"));
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
}
