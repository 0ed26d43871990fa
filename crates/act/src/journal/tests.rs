use larnax_core::{Authority, Command, Effect, IncidentId, PlanId, Report, Wanted};
use proptest::prelude::*;

use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(1_000 * seconds)
}

fn command(attempt: u32, wanted: Wanted, expires: Timestamp) -> Command {
    let plan = PlanId::of("00000000000000aa".parse::<IncidentId>().unwrap(), attempt);
    Command {
        key: Command::key(plan, wanted),
        plan,
        wanted,
        action: "restart".to_owned(),
        component: "service/shop/orders".parse().unwrap(),
        expires,
        authority: Authority { epoch: "e".to_owned(), number: 1 },
    }
}

fn heard(command: &Command, now: Timestamp) -> Record {
    Record::Heard { command: command.clone(), at: now, can_undo: true }
}

fn ended(command: &Command, effect: Effect, now: Timestamp) -> Record {
    Record::Ended(Report {
        key: command.key.clone(),
        effect,
        message: "so it is".to_owned(),
        began: None,
        ended: now,
    })
}

#[test]
fn what_was_written_is_known_after_it_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let done = command(1, Wanted::Do, at(20));
    let mut journal = Journal::open(folder.path(), at(10)).unwrap();
    journal.append(&[heard(&done, at(10))], at(10)).unwrap();
    let key = done.key.clone();
    journal
        .append(&[Record::Reserved { key: key.clone(), held: serde_json::json!({"pid": 7}) }], at(10))
        .unwrap();
    journal.append(&[Record::Switching { key: key.clone(), at: at(11) }], at(11)).unwrap();
    let open = journal.get(&key).unwrap().clone();
    drop(journal);
    for _ in 0..2 {
        let journal = Journal::open(folder.path(), at(12)).unwrap();
        assert_eq!(journal.get(&key), Some(&open));
        assert_eq!(journal.open_entries().count(), 1);
    }
    let mut journal = Journal::open(folder.path(), at(12)).unwrap();
    journal.append(&[ended(&done, Effect::Done, at(13))], at(13)).unwrap();
    drop(journal);
    let journal = Journal::open(folder.path(), at(14)).unwrap();
    assert_eq!(journal.get(&key).unwrap().report.as_ref().unwrap().effect, Effect::Done);
    assert_eq!(journal.open_entries().count(), 0);
}

#[test]
fn a_second_agent_on_the_same_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let first = Journal::open(folder.path(), at(10)).unwrap();
    let message = Journal::open(folder.path(), at(10)).unwrap_err().to_string();
    assert!(message.contains("another agent"), "{message}");
    drop(first);
    Journal::open(folder.path(), at(10)).unwrap();
}

#[test]
fn a_torn_last_line_is_dropped_without_a_word_and_a_damaged_one_is_kept_aside_with_one() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (command(1, Wanted::Do, at(20)), command(2, Wanted::Do, at(20)));
    let mut journal = Journal::open(folder.path(), at(10)).unwrap();
    journal.append(&[heard(&first, at(10))], at(10)).unwrap();
    journal.append(&[heard(&second, at(10))], at(10)).unwrap();
    drop(journal);
    let path = folder.path().join("journal");
    let whole = std::fs::read(&path).unwrap();

    std::fs::write(&path, whole.get(..whole.len() - 5).unwrap()).unwrap();
    let mut journal = Journal::open(folder.path(), at(11)).unwrap();
    assert!(journal.take_notices().is_empty());
    assert!(journal.get(&first.key).is_some() && journal.get(&second.key).is_none());
    drop(journal);

    let mut damaged = whole.clone();
    *damaged.get_mut(30).unwrap() ^= 1;
    std::fs::write(&path, &damaged).unwrap();
    let mut journal = Journal::open(folder.path(), at(11)).unwrap();
    let notice = journal.take_notices().join("");
    assert!(notice.contains("damaged lines, 1 of them") && notice.contains("journal.damaged"), "{notice}");
    assert_eq!(std::fs::read(folder.path().join("journal.damaged")).unwrap(), damaged);
}

#[test]
fn authorities_of_eight_epochs_are_remembered_and_only_grow() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(folder.path(), at(10)).unwrap();
    for number in 0..9_u64 {
        let authority = Authority { epoch: format!("e{number}"), number: 5 };
        journal.append(&[Record::Authority(authority)], at(10)).unwrap();
    }
    journal.append(&[Record::Authority(Authority { epoch: "e8".to_owned(), number: 3 })], at(10)).unwrap();
    drop(journal);
    let journal = Journal::open(folder.path(), at(10)).unwrap();
    assert_eq!(
        (journal.authority("e0"), journal.authority("e1"), journal.authority("e8")),
        (None, Some(5), Some(5))
    );
}

#[test]
fn what_is_old_is_forgotten_but_not_what_is_open_or_could_come_again_or_be_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let now = at(0).plus(Duration::from_secs(30 * 86_400));
    let (open, fresh, undoable) = (
        command(1, Wanted::Do, at(1)),
        command(2, Wanted::Do, now.plus(Duration::from_secs(9))),
        command(3, Wanted::Do, at(1)),
    );
    let (old, undone) = (command(4, Wanted::Do, at(1)), command(5, Wanted::Do, at(1)));
    let undo = command(5, Wanted::Undo, at(1));
    let mut journal = Journal::open(folder.path(), at(0)).unwrap();
    let mut records = vec![heard(&open, at(0))];
    for (command, effect) in [
        (&fresh, Effect::NotDone),
        (&undoable, Effect::Done),
        (&old, Effect::NotDone),
        (&undone, Effect::Done),
        (&undo, Effect::Done),
    ] {
        records.extend([heard(command, at(0)), ended(command, effect, at(0))]);
    }
    journal.append(&records, at(0)).unwrap();
    drop(journal);
    let journal = Journal::open(folder.path(), now).unwrap();
    let known = |command: &Command| journal.get(&command.key).is_some();
    assert_eq!([&open, &fresh, &undoable].map(known), [true; 3]);
    assert_eq!([&old, &undone, &undo].map(known), [false; 3]);
}

#[test]
fn of_many_commands_the_newest_are_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(folder.path(), at(0)).unwrap();
    let mut records = Vec::new();
    for number in 0..1_500 {
        let command = command(number, Wanted::Do, at(1));
        let time = at(i64::from(number));
        records.extend([heard(&command, time), ended(&command, Effect::NotDone, time)]);
    }
    journal.append(&records, at(1_500)).unwrap();
    drop(journal);
    let journal = Journal::open(folder.path(), at(1_500)).unwrap();
    let known = |number| journal.get(&command(number, Wanted::Do, at(1)).key).is_some();
    assert_eq!((known(499), known(500), known(1_499)), (false, true, true));
}

#[test]
fn what_has_begun_is_never_heard_anew() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(folder.path(), at(0)).unwrap();
    let (first, later) = (command(1, Wanted::Do, at(5)), command(1, Wanted::Do, at(9)));
    let key = first.key.clone();
    journal.append(&[heard(&first, at(0)), ended(&first, Effect::NotDone, at(0))], at(0)).unwrap();
    journal.append(&[heard(&later, at(6))], at(6)).unwrap();
    assert_eq!(journal.get(&key).unwrap().report, None);
    journal
        .append(
            &[Record::Switching { key: key.clone(), at: at(6) }, ended(&later, Effect::NotDone, at(6))],
            at(6),
        )
        .unwrap();
    journal.append(&[heard(&command(1, Wanted::Do, at(99)), at(7))], at(7)).unwrap();
    assert_eq!(journal.get(&key).unwrap().began, Some(at(6)));
}

proptest! {
    #[test]
    fn no_file_makes_it_fail_and_what_is_whole_is_kept(
        noise in proptest::collection::vec(any::<u8>(), 0..400),
        cut in 0_usize..2_000,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let kept = command(1, Wanted::Do, at(20));
        let mut lines = Vec::new();
        record::line(&heard(&kept, at(0)), &mut lines).unwrap();
        let whole = lines.len();
        lines.extend_from_slice(&noise);
        lines.truncate(cut);
        std::fs::write(folder.path().join("journal"), &lines).unwrap();
        let journal = Journal::open(folder.path(), at(10)).unwrap();
        prop_assert_eq!(journal.get(&kept.key).is_some(), cut >= whole);
    }
}
