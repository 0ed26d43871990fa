//! The certificate that the API server is shown, made by the operator itself and made anew in time.
//!
//! It lies in a Secret, so that all replicas show the same. Each one is signed by an authority of its own, whose key nobody
//! keeps; the authority before it stays in what webhooks trust, so that a replica that has not looked yet is believed as well.
//! Rejected: one authority for years, whose key would have to lie somewhere.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PostParams};
use kube::core::{ApiResource, DynamicObject, PartialObjectMeta};
use kube::runtime::{WatchStreamExt, watcher};
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

/// How long one is good, in seconds,
const GOOD: f64 = 90.0 * 86_400.0;
/// and when it is made anew: so long before its end.
const LEFT: f64 = 30.0 * 86_400.0;
/// What is in the Secret: those who sign, the newest first; the certificate; its key; for which host it is, and until when, in seconds
/// since 1970: so that nobody has to read certificates.
const CA: &str = "ca.crt";
const CERT: &str = "tls.crt";
const KEY: &str = "tls.key";
const HOST: &str = "host";
const UNTIL: &str = "until";

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

/// A certificate and who signed it, PEM; for which host, and until when both are good.
#[derive(Clone, PartialEq)]
struct Made {
    ca: String,
    cert: String,
    key: String,
    host: String,
    until: f64,
}

/// When somebody has changed the Secret or the configuration of the webhooks, as an upgrade of the chart does.
pub(crate) fn changes(client: &Client, place: &Place) -> impl Stream<Item = ()> + use<> {
    let named = |name: &str| watcher::Config::default().fields(&format!("metadata.name={name}"));
    let secrets: Api<PartialObjectMeta<Secret>> = Api::namespaced(client.clone(), &place.namespace);
    let webhooks: Api<PartialObjectMeta<MutatingWebhookConfiguration>> = Api::all(client.clone());
    // What can't be watched is looked at now and then all the same, and complained of there.
    let secret = watcher(secrets, named(&place.secret)).default_backoff().map(drop);
    let trust = watcher(webhooks, named(&place.webhooks)).default_backoff().map(drop);
    futures_util::stream::select(secret, trust)
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
    let show = |made: &Made| shown.replace(made.cert.as_bytes(), made.key.as_bytes());
    // One that can't be shown is none.
    let good = found.clone().filter(|made| is_good(made, &place.host, now) && show(made).is_ok());
    let made = match good {
        Some(made) => made,
        None => {
            let made = make(&place.host, found, now)?;
            let until = made.until.to_string();
            let data =
                [(CA, &made.ca), (CERT, &made.cert), (KEY, &made.key), (HOST, &made.host), (UNTIL, &until)];
            let data = data.map(|(name, text)| (name.to_owned(), ByteString(text.as_bytes().to_vec())));
            secret.data = Some(BTreeMap::from(data));
            // With the version that was read: of two replicas one succeeds, and the other reads what that one wrote.
            let options = PostParams::default();
            let replaced = secrets.replace(&place.secret, &options, &secret).await;
            replaced.map_err(|error| format!("the Secret {} can't be written: {error}", place.secret))?;
            tracing::info!(secret = place.secret, "a new certificate for the webhook");
            show(&made)?;
            made
        }
    };
    trust(client, place, &made.ca).await
}

/// Has all webhooks trust who signed. Nothing is written where they do.
async fn trust(client: &Client, place: &Place, ca: &str) -> Result<(), String> {
    let name = &place.webhooks;
    // Not as what it is: of all that such a configuration says two fields are needed.
    let kind = ApiResource::erase::<MutatingWebhookConfiguration>(&());
    let all: Api<DynamicObject> = Api::all_with(client.clone(), &kind);
    let configuration = all.get(name).await.map_err(|error| format!("the webhooks {name}: {error}"))?;
    let ca = json!(ByteString(ca.as_bytes().to_vec()));
    let webhooks = configuration.data["webhooks"].as_array().map_or(&[][..], Vec::as_slice);
    if webhooks.iter().all(|webhook| webhook["clientConfig"]["caBundle"] == ca) {
        return Ok(());
    }
    let changed =
        webhooks.iter().map(|webhook| json!({"name": webhook["name"], "clientConfig": {"caBundle": ca}}));
    let patch = Patch::Strategic(json!({"webhooks": changed.collect::<Vec<_>>()}));
    let patched = all.patch(name, &Default::default(), &patch).await;
    patched.map_err(|error| format!("the webhooks {name} can't be changed: {error}"))?;
    tracing::info!(webhooks = name, "the API server trusts the webhook's certificate");
    Ok(())
}

fn made(secret: &Secret) -> Option<Made> {
    let text = |name: &str| String::from_utf8(secret.data.as_ref()?.get(name)?.0.clone()).ok();
    let until = text(UNTIL)?.parse().ok()?;
    Some(Made { ca: text(CA)?, cert: text(CERT)?, key: text(KEY)?, host: text(HOST)?, until })
}

/// Whether a certificate is for this host and good for a while.
fn is_good(made: &Made, host: &str, now: Timestamp) -> bool {
    made.host == host && now.seconds() + LEFT < made.until
}

/// A new one. Who signed the one before is trusted on, as long as that is good.
fn make(host: &str, before: Option<Made>, now: Timestamp) -> Result<Made, String> {
    let build = || -> Result<Made, rcgen::Error> {
        let begin =
            OffsetDateTime::from_unix_timestamp(now.seconds() as i64).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        // An hour back: clocks of API servers differ from ours.
        let (from, until) = (begin - Duration::from_secs(3_600), begin + Duration::from_secs_f64(GOOD));
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
        let until = until.unix_timestamp() as f64;
        Ok(Made { ca: newest, cert, key: key.serialize_pem(), host: host.to_owned(), until })
    };
    let mut made = build().map_err(|error| format!("no certificate could be made: {error}"))?;
    if let Some(before) = before.filter(|before| before.until > now.seconds())
        && let Some(at) = before.ca.find(END)
    {
        made.ca.push_str(&before.ca[..at + END.len()]);
        made.ca.push('\n');
    }
    Ok(made)
}

/// What a certificate ends with.
const END: &str = "-----END CERTIFICATE-----";

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "larnax-operator.larnax.svc";
    const DAY: f64 = 86_400.0;

    fn at(days: f64) -> Timestamp {
        Timestamp::from_seconds(1_795_000_000.0 + days * DAY)
    }

    fn authorities(made: &Made) -> usize {
        made.ca.matches("BEGIN CERTIFICATE").count()
    }

    #[test]
    fn a_certificate_is_made_anew_a_month_before_its_end_and_the_last_authority_is_trusted_on() {
        let first = make(NAME, None, at(0.0)).unwrap();
        assert_eq!(authorities(&first), 1);
        assert!(is_good(&first, NAME, at(0.0)) && is_good(&first, NAME, at(59.0)));
        assert!(!is_good(&first, NAME, at(61.0)));
        assert!(!is_good(&first, "other.svc", at(0.0)), "for another host");

        let second = make(NAME, Some(first.clone()), at(61.0)).unwrap();
        assert!(is_good(&second, NAME, at(61.0)) && second.ca.ends_with(&first.ca));
        let third = make(NAME, Some(second.clone()), at(122.0)).unwrap();
        assert_eq!((authorities(&second), authorities(&third)), (2, 2), "not more than the last one");
        let late = make(NAME, Some(third), at(400.0)).unwrap();
        assert_eq!(authorities(&late), 1, "none that has ended");
    }

    #[test]
    fn what_is_kept_can_be_read_again_and_what_is_none_is_nothing() {
        let first = make(NAME, None, at(0.0)).unwrap();
        let secret = |until: &str| {
            let data = [
                (CA, first.ca.as_str()),
                (CERT, &first.cert),
                (KEY, &first.key),
                (HOST, NAME),
                (UNTIL, until),
            ];
            let data = data.map(|(name, text)| (name.to_owned(), ByteString(text.as_bytes().to_vec())));
            Secret { data: Some(BTreeMap::from(data)), ..Secret::default() }
        };
        assert!(made(&secret(&first.until.to_string())) == Some(first.clone()));
        assert!(made(&secret("soon")).is_none() && made(&Secret::default()).is_none());
    }
}
