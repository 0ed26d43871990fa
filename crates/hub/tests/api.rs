//! What a hub answers.

#![allow(clippy::unwrap_used)]

mod support;

use larnax_serve::Handler;
use larnax_serve::hyper::Request;
use larnax_serve::hyper::body::Bytes;
use serde_json::Value;
use support::*;

const DOCUMENT: &str = include_str!("../openapi.json");

#[test]
fn all_paths_of_the_openapi_document_are_served() {
    on_one_thread(async {
        let folder = tempfile::tempdir().unwrap();
        let hub = hub(&store(folder.path()));
        let document: Value = serde_json::from_str(DOCUMENT).unwrap();
        let paths = document["paths"].as_object().unwrap();
        assert!(paths.len() >= 10);
        for (path, methods) in paths {
            for (method, operation) in methods.as_object().unwrap() {
                let request = Request::builder().method(method.to_uppercase().as_str());
                let request = request.uri(path.replace("{id}", "1f0c2a9e5b7d4c33"));
                let (head, ()) = request.body(()).unwrap().into_parts();
                let answer = hub.answer(&head, Bytes::new()).await;
                let (status, documented) = (answer.status().as_u16(), &operation["responses"]);
                let content = answer.headers().get("content-type").unwrap().to_str().unwrap();
                assert!(!documented[status.to_string()].is_null(), "{method} {path} answered {status}");
                assert_ne!(status, 405, "{method} {path}");
                assert!(
                    status != 200
                        || documented["200"]["content"][content.split(';').next().unwrap()].is_object(),
                    "{method} {path} answered {content}"
                );
            }
        }
    });
}
