//! The default detector.
//!
//! | file | what is in it |
//! |---|---|
//! | [`univariate`] | one series: what it is expected to be, how novel it is, when that begins |
//! | [`season`] | hour-of-day and hour-of-week profiles |
//! | [`novelty`] | beyond the range, unlike any recent shape, and how rare a signal is |
//! | `learnt` | what is kept of a series: saved, checked, merged |
//! | [`alarm`] | from dense surprise to sparse onsets: habituation and rest |

pub mod alarm;
mod learnt;
pub mod novelty;
pub mod season;
pub mod univariate;
