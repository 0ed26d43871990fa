//! The certificate that the API server is shown, made by the operator itself and made anew in time.
//!
//! It lies in a Secret, so that all replicas show the same. Each one is signed by an authority of its own, whose key nobody
//! keeps; the authority before it stays in what webhooks trust, so that a replica that has not looked yet is believed as well.
//! Rejected: one authority for years, whose key would have to lie somewhere.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PostParams};
use kube::{Api, Client};
use larnax_core::Timestamp;
use larnax_serve::Certificate;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use serde::Deserialize;
use serde_json::json;
use time::OffsetDateTime;
use x509_parser::pem::Pem;

/// How long one is good, in seconds,
const GOOD: f64 = 90.0 * 86_400.0;
/// and when it is made anew: so long before its end.
const LEFT: f64 = 30.0 * 86_400.0;
/// What is in the Secret: those who sign, the newest first; the certificate; its key.
const CA: &str = "ca.crt";
const CERT: &str = "tls.crt";
const KEY: &str = "tls.key";

/// Where the certificate lies and who must trust it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The namespace of both.
    pub namespace: String,
    /// The Secret; it is there already, and may be empty.
    pub secret: String,
    /// The configuration of the webhooks.
    pub webhooks: String,
    /// The name that the API server calls, as `larnax-operator.larnax.svc`.
    pub host: String,
}

/// A certificate and who signed it, PEM.
#[derive(Clone, PartialEq, Eq)]
struct Made {
    ca: String,
    cert: String,
    key: String,
}

/// Looks whether the certificate is good for some time yet and makes another one where it isn't; shows it, and has the
/// webhooks trust it.
///
/// # Errors
/// A sentence for a person. What was shown before is shown on.
pub async fn keep(client: &Client, place: &Place, shown: &Certificate, now: Timestamp) -> Result<(), String> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &place.namespace);
    let mut secret =
        secrets.get(&place.secret).await.map_err(|error| format!("the Secret {}: {error}", place.secret))?;
    let found = made(&secret);
    let made = match found.clone().filter(|made| is_good(made, &place.host, now)) {
        Some(made) => made,
        None => {
            let made = make(&place.host, found.map(|made| made.ca), now)?;
            let data = [(CA, &made.ca), (CERT, &made.cert), (KEY, &made.key)];
            let data = data.map(|(name, text)| (name.to_owned(), ByteString(text.as_bytes().to_vec())));
            secret.data = Some(BTreeMap::from(data));
            // With the version that was read: of two replicas one succeeds, and the other reads what that one wrote.
            let options = PostParams::default();
            let replaced = secrets.replace(&place.secret, &options, &secret).await;
            replaced.map_err(|error| format!("the Secret {} can't be written: {error}", place.secret))?;
            tracing::info!(secret = place.secret, "a new certificate for the webhook");
            made
        }
    };
    trust(client, place, &made.ca).await?;
    shown.replace(made.cert.as_bytes(), made.key.as_bytes())
}

/// Has all webhooks trust who signed. Nothing is written where they do.
async fn trust(client: &Client, place: &Place, ca: &str) -> Result<(), String> {
    let name = &place.webhooks;
    let all: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
    let configuration = all.get(name).await.map_err(|error| format!("the webhooks {name}: {error}"))?;
    let ca = ByteString(ca.as_bytes().to_vec());
    let webhooks = configuration.webhooks.unwrap_or_default();
    if webhooks.iter().all(|webhook| webhook.client_config.ca_bundle.as_ref() == Some(&ca)) {
        return Ok(());
    }
    let changed =
        webhooks.iter().map(|webhook| json!({"name": webhook.name, "clientConfig": {"caBundle": ca}}));
    let patch = Patch::Strategic(json!({"webhooks": changed.collect::<Vec<_>>()}));
    let patched = all.patch(name, &Default::default(), &patch).await;
    patched.map_err(|error| format!("the webhooks {name} can't be changed: {error}"))?;
    tracing::info!(webhooks = name, "the API server trusts the webhook's certificate");
    Ok(())
}

fn made(secret: &Secret) -> Option<Made> {
    let text = |name: &str| String::from_utf8(secret.data.as_ref()?.get(name)?.0.clone()).ok();
    Some(Made { ca: text(CA)?, cert: text(CERT)?, key: text(KEY)? })
}

/// Whether a certificate is for this host and good for a while.
fn is_good(made: &Made, host: &str, now: Timestamp) -> bool {
    let Some(Ok(pem)) = Pem::iter_from_buffer(made.cert.as_bytes()).next() else { return false };
    let Ok(certificate) = pem.parse_x509() else { return false };
    let names = certificate.subject_alternative_name().ok().flatten();
    let is_named = names.is_some_and(|names| {
        let mut names = names.value.general_names.iter();
        names.any(|name| matches!(name, x509_parser::prelude::GeneralName::DNSName(name) if *name == host))
    });
    let validity = certificate.validity();
    let [from, until] = [validity.not_before, validity.not_after].map(|time| time.timestamp() as f64);
    is_named && from <= now.seconds() && now.seconds() + LEFT < until
}

/// A new one. `before` are those who signed before; the newest of them is trusted on.
fn make(host: &str, before: Option<String>, now: Timestamp) -> Result<Made, String> {
    let build = || -> Result<Made, rcgen::Error> {
        // An hour back: clocks of API servers differ from ours.
        let now =
            OffsetDateTime::from_unix_timestamp(now.seconds() as i64).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let (from, until) = (now - Duration::from_secs(3_600), now + Duration::from_secs_f64(GOOD));
        let params = |names: &[String], called: &str| -> Result<CertificateParams, rcgen::Error> {
            let mut params = CertificateParams::new(names)?;
            (params.not_before, params.not_after) = (from, until);
            params.distinguished_name.push(DnType::CommonName, called);
            Ok(params)
        };
        let mut authority = params(&[], "larnax-webhook")?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let authority_key = KeyPair::generate()?;
        let newest = authority.self_signed(&authority_key)?.pem();
        let mut server = params(&[host.to_owned()], host)?;
        server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate()?;
        let cert = server.signed_by(&key, &Issuer::new(authority, authority_key))?.pem();
        Ok(Made { ca: newest, cert, key: key.serialize_pem() })
    };
    let mut made = build().map_err(|error| format!("no certificate could be made: {error}"))?;
    let before = before.unwrap_or_default();
    if let Some(Ok(last)) = Pem::iter_from_buffer(before.as_bytes()).next()
        && last.parse_x509().is_ok_and(|ca| ca.validity().not_after.timestamp() as f64 > now.seconds())
    {
        let end = "-----END CERTIFICATE-----";
        if let Some(at) = before.find(end) {
            made.ca.push_str(&before[..at + end.len()]);
            made.ca.push('\n');
        }
    }
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "larnax-operator.larnax.svc";
    const DAY: f64 = 86_400.0;

    fn at(days: f64) -> Timestamp {
        Timestamp::from_seconds(1_795_000_000.0 + days * DAY)
    }

    fn authorities(made: &Made) -> usize {
        made.ca.matches("BEGIN CERTIFICATE").count()
    }

    #[test]
    fn a_certificate_is_made_anew_a_month_before_its_end_and_the_last_authority_is_trusted_on() {
        let first = make(HOST, None, at(0.0)).unwrap();
        assert_eq!(authorities(&first), 1);
        assert!(is_good(&first, HOST, at(0.0)) && is_good(&first, HOST, at(59.0)));
        assert!(!is_good(&first, HOST, at(61.0)) && !is_good(&first, HOST, at(-1.0)));
        assert!(!is_good(&first, "other.svc", at(0.0)), "for another host");

        let second = make(HOST, Some(first.ca.clone()), at(61.0)).unwrap();
        assert!(is_good(&second, HOST, at(61.0)) && second.ca.ends_with(&first.ca));
        let third = make(HOST, Some(second.ca.clone()), at(122.0)).unwrap();
        assert_eq!((authorities(&second), authorities(&third)), (2, 2), "not more than the last one");
        let late = make(HOST, Some(third.ca), at(400.0)).unwrap();
        assert_eq!(authorities(&late), 1, "none that has ended");
    }

    #[test]
    fn what_is_no_certificate_is_replaced() {
        let made = Made { ca: "x".to_owned(), cert: "y".to_owned(), key: "z".to_owned() };
        assert!(!is_good(&made, HOST, at(0.0)));
        assert_eq!(authorities(&make(HOST, Some(made.ca), at(0.0)).unwrap()), 1);
    }
}
