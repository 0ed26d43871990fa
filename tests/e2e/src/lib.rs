//! End to end tests: the programs as a user runs them, against real peers. One file per story in `tests/`.
//!
//! `cargo xtask test` builds the programs, fetches the peers and runs these. `cargo test -p larnax-e2e` alone
//! runs them on what is already there and says which tests it leaves out.
