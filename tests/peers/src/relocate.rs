//! Peers that look for their files in `/usr/share`, where nothing is, because they are unpacked elsewhere.

use std::fs;
use std::path::Path;

use anyhow::Result;

use crate::peers::Peer;

/// Where Debian's Alertmanager has its templates and pages: in the program, with no flag to change it.
const INSTALLED: &[u8] = b"/usr/share/prometheus/alertmanager";

/// The same folder, relative to the working directory. As long as the other, as a string in a program must
/// be.
const RELATIVE: &[u8] = b"usr//share/prometheus/alertmanager";

/// Makes an unpacked peer find its files when it runs in the peers' folder. Only Alertmanager needs it.
///
/// Rejected: a link in `/usr/share`, which changes the machine and needs root; a mount namespace, which many
/// containers forbid.
pub(crate) fn relocate(peer: Peer, program: &Path) -> Result<()> {
    if peer != Peer::Alertmanager {
        return Ok(());
    }
    let mut bytes = fs::read(program)?;
    replace_all(&mut bytes, INSTALLED, RELATIVE);
    Ok(fs::write(program, bytes)?)
}

/// Replaces every `old` by the equally long `new`.
fn replace_all(bytes: &mut [u8], old: &[u8], new: &[u8]) {
    let found = bytes.windows(old.len()).enumerate().filter(|(_, window)| *window == old);
    let found: Vec<usize> = found.map(|(at, _)| at).collect();
    for at in found {
        bytes[at..at + old.len()].copy_from_slice(new);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_replaced_wherever_it_stands_and_nothing_moves() {
        assert_eq!(INSTALLED.len(), RELATIVE.len());
        let mut program = [b"x".as_slice(), INSTALLED, b"/ui", INSTALLED].concat();
        replace_all(&mut program, INSTALLED, RELATIVE);
        assert_eq!(program, [b"x".as_slice(), RELATIVE, b"/ui", RELATIVE].concat());
    }
}
