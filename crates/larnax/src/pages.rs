//! The web page, built from `ui/` and committed, so that cargo alone builds the program.

use larnax_serve::Page;

/// The file at a path of the page.
pub(crate) fn page(path: &str) -> Option<Page> {
    let (content_type, bytes): (&'static str, &'static [u8]) = match path {
        // Alerts link to an anomaly or an incident; the page finds it by its path.
        path if path == "/" || path.starts_with("/anomalies/") || path.starts_with("/incidents/") => {
            ("text/html; charset=utf-8", include_bytes!("../../../ui/dist/index.html"))
        }
        "/app.js" => ("text/javascript; charset=utf-8", include_bytes!("../../../ui/dist/app.js")),
        "/app.css" => ("text/css; charset=utf-8", include_bytes!("../../../ui/dist/app.css")),
        "/favicon.svg" => ("image/svg+xml", include_bytes!("../../../ui/dist/favicon.svg")),
        _ => return None,
    };
    Some(Page { content_type, bytes })
}
