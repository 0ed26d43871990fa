//! What a program is made of, as a list that scanners of images read: SPDX 2.3.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::cargo::{self, cargo};

/// A package that is linked into a program.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Part {
    name: String,
    version: String,
    license: String,
}

/// The list of all that is linked into `program` when it is built with `features` for `triple`.
pub(crate) fn of(program: &str, features: &[&str], triple: &str) -> Result<Vec<u8>> {
    let mut command = cargo(&["tree", "--locked", "--package", program, "--target", triple]);
    command.args([
        "--edges",
        "normal",
        "--prefix",
        "none",
        "--format",
        "{p}|{l}",
        "--features",
        &features.join(","),
    ]);
    let said = cargo::output(&mut command)?;
    let parts: BTreeSet<Part> = said.lines().filter_map(part).collect();
    let own = parts
        .iter()
        .find(|part| part.name == program)
        .with_context(|| format!("no {program} in its own tree"))?;
    Ok(serde_json::to_vec(&document(own, &parts))?)
}

/// `name v1.2.3 (where or what)|MIT/Apache-2.0`, or the same line once more with `(*)`. Macros are not linked.
fn part(line: &str) -> Option<Part> {
    let (package, license) = line.split_once('|')?;
    let mut words = package.split_whitespace();
    let (name, version) = (words.next()?, words.next()?.strip_prefix('v')?);
    // As it was written before there were expressions.
    let license = license.trim_end_matches("(*)").trim().replace('/', " OR ");
    let is_macro = words.any(|word| word == "(proc-macro)");
    (!is_macro).then(|| Part { name: name.to_owned(), version: version.to_owned(), license })
}

fn document(own: &Part, parts: &BTreeSet<Part>) -> Value {
    let id =
        |part: &Part| format!("SPDXRef-{}-{}", part.name.replace('_', "-"), part.version.replace('+', "-"));
    let package = |part: &Part| {
        json!({
            "SPDXID": id(part),
            "name": part.name,
            "versionInfo": part.version,
            "downloadLocation": "NOASSERTION",
            "filesAnalyzed": false,
            "licenseConcluded": "NOASSERTION",
            "licenseDeclared": if part.license.is_empty() { "NOASSERTION" } else { &part.license },
            "copyrightText": "NOASSERTION",
            "externalRefs": [{
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": format!("pkg:cargo/{}@{}", part.name, part.version.replace('+', "%2B")),
            }],
        })
    };
    let needed = parts.iter().filter(|part| *part != own);
    let needs = |part: &Part| json!({"spdxElementId": id(own), "relationshipType": "DEPENDS_ON", "relatedSpdxElement": id(part)});
    let describes = json!({"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": id(own)});
    let relationships: Vec<Value> = [describes].into_iter().chain(needed.map(needs)).collect();
    json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": format!("{}-{}", own.name, own.version),
        "documentNamespace": format!("https://spdx.org/spdxdocs/{}-{}", own.name, own.version),
        // The same list at any time: an image that is made again is the same one.
        "creationInfo": {"created": "1970-01-01T00:00:00Z", "creators": ["Tool: cargo-tree"]},
        "packages": parts.iter().map(package).collect::<Vec<_>>(),
        "relationships": relationships,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_all_that_is_linked_and_no_macro() {
        let tree = "larnax-edge v0.1.0 (/x/crates/larnax-edge)|MIT OR Apache-2.0\n\
                    csv-core v0.1.13|Unlicense/MIT\n\
                    clap_derive v4.6.7 (proc-macro)|MIT\n\
                    ring v0.17.1+x|\n\
                    csv-core v0.1.13|Unlicense/MIT (*)\n";
        let parts: BTreeSet<Part> = tree.lines().filter_map(part).collect();
        let own = parts.iter().find(|part| part.name == "larnax-edge").unwrap();
        let document = document(own, &parts);
        let packages = document["packages"].as_array().unwrap();
        assert_eq!(packages.len(), 3, "{packages:?}");
        assert_eq!(packages[0]["licenseDeclared"], "Unlicense OR MIT");
        assert_eq!(packages[2]["licenseDeclared"], "NOASSERTION");
        assert_eq!(packages[2]["externalRefs"][0]["referenceLocator"], "pkg:cargo/ring@0.17.1%2Bx");
        assert_eq!(document["relationships"].as_array().unwrap().len(), 3);
    }
}
