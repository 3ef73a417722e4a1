//! The matrix of who may do what, and what the words mean.

use archipelago_model::{AccountId, UserId};

use super::*;
use crate::identity::{Account, Identity, Role, User};

const OWNER: u64 = 1;
const OTHER: u64 = 2;
const WRITER: u64 = 3;
const BOB: u64 = 20;
const GROUP: u64 = 30;

fn who(user: u64, account: u64, role: Role, is_admin: bool) -> Subject {
    let name = format!("u{user}");
    let identity = Identity {
        user: User {
            id: UserId::new(user),
            uuid: [user as u8; 16],
            name: name.parse().unwrap(),
            enabled: true,
            is_admin,
            created_ms: 0,
        },
        account: Account {
            id: AccountId::new(account),
            uuid: [account as u8; 16],
            name: format!("a{account}").parse().unwrap(),
            enabled: true,
            quota_bytes: None,
            created_ms: 0,
        },
        role,
    };
    Subject { identity: Some(identity), groups: Vec::new() }
}

fn bob() -> Subject {
    who(BOB, OTHER, Role::Admin, false)
}

fn in_group() -> Subject {
    Subject { groups: vec![GROUP], ..bob() }
}

fn rules(layers: Vec<(Layer, Vec<Grant>)>, of_container: bool) -> Rules {
    let owner = AccountId::new(OWNER);
    Rules { owner, writer: None, of_container, layers, ignores_public: false, now_ms: 1000 }
}

fn object(path: &[Grant], container: &[Grant]) -> Rules {
    let path = (Layer::Path("dir/file".to_owned()), path.to_vec());
    rules(vec![(Layer::Version, vec![]), path, (Layer::Container, container.to_vec())], false)
}

fn to(grantee: Grantee, right: Right) -> Grant {
    Grant::new(grantee, right)
}

const ACTIONS: [Action; 10] = [
    Action::Read,
    Action::ReadVersion,
    Action::List,
    Action::ListPast,
    Action::Write,
    Action::Remove,
    Action::Clone,
    Action::ReadAcl,
    Action::WriteAcl,
    Action::Govern,
];

#[track_caller]
fn may_only(subject: &Subject, rules: &Rules, allowed: &[Action]) {
    let got: Vec<Action> =
        ACTIONS.into_iter().filter(|action| decide(subject, *action, rules).allowed).collect();
    assert_eq!(got, allowed);
}

#[test]
fn without_a_grant_only_the_owner_may_anything() {
    let rules = object(&[], &[]);
    may_only(&Subject::anybody(), &rules, &[]);
    may_only(&bob(), &rules, &[]);
    may_only(&who(BOB, OWNER, Role::Admin, false), &rules, &ACTIONS);
    may_only(&who(BOB, OTHER, Role::Admin, true), &rules, &ACTIONS);
}

#[test]
fn a_member_says_nothing_of_rights_and_a_reader_changes_nothing() {
    let rules = object(&[], &[]);
    let member: Vec<Action> =
        ACTIONS.into_iter().filter(|action| *action != Action::WriteAcl).collect();
    may_only(&who(BOB, OWNER, Role::Member, false), &rules, &member);
    let reader = [
        Action::Read,
        Action::ReadVersion,
        Action::List,
        Action::ListPast,
        Action::Clone,
        Action::ReadAcl,
    ];
    may_only(&who(BOB, OWNER, Role::Reader, false), &rules, &reader);
    let written = object(&[to(Grantee::Everyone, Right::Write)], &[]);
    may_only(&who(BOB, OTHER, Role::Reader, false), &written, &[]);
}

#[test]
fn a_guest_may_what_it_is_named_for_and_nothing_as_one_of_an_account() {
    let guest = |account| who(BOB, account, Role::Guest, false);
    may_only(&guest(OWNER), &object(&[], &[]), &[]);
    let account = object(&[to(Grantee::Account(AccountId::new(OTHER)), Right::Read)], &[]);
    may_only(&guest(OTHER), &account, &[]);
    let named = object(&[to(Grantee::User(UserId::new(BOB)), Right::Write)], &[]);
    may_only(&guest(OTHER), &named, &[Action::Write]);
}

#[test]
fn a_reader_of_a_file_reads_it_and_nothing_else() {
    for grantee in [
        Grantee::User(UserId::new(BOB)),
        Grantee::UserIn(UserId::new(BOB), AccountId::new(OTHER)),
        Grantee::Account(AccountId::new(OTHER)),
        Grantee::Group(GROUP),
        Grantee::SignedIn,
        Grantee::Everyone,
    ] {
        may_only(&in_group(), &object(&[to(grantee, Right::Read)], &[]), &[Action::Read]);
    }
}

#[test]
fn a_grant_is_for_whom_it_names() {
    for grantee in [
        Grantee::User(UserId::new(BOB + 1)),
        Grantee::UserIn(UserId::new(BOB), AccountId::new(OWNER)),
        Grantee::Account(AccountId::new(OTHER + 1)),
        Grantee::Group(GROUP + 1),
    ] {
        may_only(&in_group(), &object(&[to(grantee, Right::Read)], &[]), &[]);
    }
    let signed_in = object(&[to(Grantee::SignedIn, Right::Read)], &[]);
    may_only(&Subject::anybody(), &signed_in, &[]);
    let everyone = object(&[to(Grantee::Everyone, Right::Read)], &[]);
    may_only(&Subject::anybody(), &everyone, &[Action::Read]);
}

#[test]
fn a_writer_of_a_file_neither_reads_nor_removes_it() {
    let rules = object(&[to(Grantee::User(UserId::new(BOB)), Right::Write)], &[]);
    may_only(&bob(), &rules, &[Action::Write]);
}

#[test]
fn a_writer_of_a_container_removes_what_is_in_it() {
    let grant = [to(Grantee::User(UserId::new(BOB)), Right::Write)];
    may_only(&bob(), &object(&[], &grant), &[Action::Write, Action::Remove]);
}

#[test]
fn whoever_may_clone_may_read() {
    let rules = object(&[to(Grantee::User(UserId::new(BOB)), Right::Clone)], &[]);
    may_only(&bob(), &rules, &[Action::Read, Action::Clone]);
    let image = rules_of_image(&[to(Grantee::User(UserId::new(BOB)), Right::Clone)]);
    may_only(&bob(), &image, &[Action::Read, Action::Clone]);
    let read = rules_of_image(&[to(Grantee::User(UserId::new(BOB)), Right::Read)]);
    may_only(&bob(), &read, &[Action::Read]);
}

fn rules_of_image(grants: &[Grant]) -> Rules {
    rules(vec![(Layer::Resource, grants.to_vec())], false)
}

#[test]
fn listing_is_a_right_of_its_own() {
    let bob_is = Grantee::User(UserId::new(BOB));
    let container = |right| rules(vec![(Layer::Container, vec![to(bob_is, right)])], true);
    may_only(&bob(), &container(Right::List), &[Action::List]);
    may_only(&bob(), &container(Right::Read), &[Action::Read]);
    may_only(&bob(), &object(&[], &[to(bob_is, Right::List)]), &[]);
}

#[test]
fn the_list_of_a_container_says_nothing_of_the_lists_of_what_is_in_it() {
    let bob_is = Grantee::User(UserId::new(BOB));
    let grants = vec![to(bob_is, Right::ReadAcl), to(bob_is, Right::WriteAcl)];
    let container = rules(vec![(Layer::Container, grants.clone())], true);
    may_only(&bob(), &container, &[Action::ReadAcl, Action::WriteAcl]);
    may_only(&bob(), &object(&[], &grants), &[]);
    let version = rules(vec![(Layer::Version, grants)], false);
    may_only(&bob(), &version, &[Action::ReadAcl, Action::WriteAcl]);
}

#[test]
fn only_what_was_said_of_a_version_lets_old_ones_be_read() {
    let read = vec![to(Grantee::Everyone, Right::Read)];
    let version = rules(vec![(Layer::Version, read.clone())], false);
    may_only(&Subject::anybody(), &version, &[Action::Read, Action::ReadVersion]);
    may_only(&Subject::anybody(), &object(&read, &read), &[Action::Read]);
}

#[test]
fn a_list_on_a_version_lets_nobody_write() {
    let write = vec![to(Grantee::Everyone, Right::Write)];
    may_only(&bob(), &rules(vec![(Layer::Version, write)], false), &[]);
}

/// In a container of `OWNER`, by `WRITER`.
fn written(rules: Rules) -> Rules {
    Rules { writer: Some(AccountId::new(WRITER)), ..rules }
}

#[test]
fn what_belongs_to_its_writer_is_read_by_that_and_removed_by_the_owner_of_the_container() {
    let rules = written(object(&[], &[]));
    let container = [Action::List, Action::ListPast, Action::Write, Action::Remove, Action::Govern];
    may_only(&who(BOB, OWNER, Role::Admin, false), &rules, &container);
    let content =
        [Action::Read, Action::ReadVersion, Action::Clone, Action::ReadAcl, Action::WriteAcl];
    may_only(&who(BOB, WRITER, Role::Admin, false), &rules, &content);
    may_only(&who(BOB, WRITER, Role::Member, false), &rules, &content[..4]);
    may_only(&who(BOB, WRITER, Role::Reader, false), &rules, &content[..4]);
    may_only(&who(BOB, WRITER, Role::Guest, false), &rules, &[]);
    may_only(&bob(), &rules, &[]);
    may_only(&who(BOB, OTHER, Role::Admin, true), &rules, &ACTIONS);
}

#[test]
fn who_may_read_what_belongs_to_its_writer_is_said_of_the_version_alone() {
    let grants: Vec<Grant> =
        Right::ALL.into_iter().map(|right| to(Grantee::Everyone, right)).collect();
    let of_others = written(object(&grants, &grants));
    may_only(&bob(), &of_others, &[Action::Write, Action::Remove]);
    let read = vec![to(Grantee::Account(AccountId::new(OWNER)), Right::Read)];
    let of_version = written(rules(vec![(Layer::Version, read)], false));
    let owner = who(BOB, OWNER, Role::Member, false);
    assert!(decide(&owner, Action::Read, &of_version).allowed);
    assert!(!decide(&owner, Action::ReadAcl, &of_version).allowed);
}

#[test]
fn a_grant_ends_when_it_says() {
    let until = |end| Grant { expires_ms: Some(end), ..to(Grantee::Everyone, Right::Read) };
    may_only(&bob(), &object(&[until(1001)], &[]), &[Action::Read]);
    may_only(&bob(), &object(&[until(1000)], &[]), &[]);
}

#[test]
fn what_is_public_can_be_ignored() {
    let grants = [
        to(Grantee::Everyone, Right::Read),
        to(Grantee::SignedIn, Right::Write),
        to(Grantee::User(UserId::new(BOB)), Right::Clone),
    ];
    let rules = Rules { ignores_public: true, ..object(&grants, &[]) };
    may_only(&Subject::anybody(), &rules, &[]);
    may_only(&bob(), &rules, &[Action::Read, Action::Clone]);
}

#[test]
fn a_decision_says_why() {
    let grant = to(Grantee::User(UserId::new(BOB)), Right::Read);
    let rules = object(std::slice::from_ref(&grant), &[]);
    let layer = Layer::Path("dir/file".to_owned());
    assert_eq!(decide(&bob(), Action::Read, &rules).reason, Reason::Granted(layer, grant));
    let reason = decide(&bob(), Action::Write, &rules).reason;
    assert_eq!(
        (&reason, reason.to_string().as_str()),
        (&Reason::NotGranted, "nobody has granted it")
    );
}

#[test]
fn grantees_and_rights_are_read_as_they_are_written() {
    for grantee in [
        Grantee::Everyone,
        Grantee::SignedIn,
        Grantee::Account(AccountId::new(0)),
        Grantee::User(UserId::new(7)),
        Grantee::UserIn(UserId::new(7), AccountId::new(0)),
        Grantee::Group(u64::MAX),
    ] {
        assert_eq!(grantee.to_string().parse(), Ok(grantee));
    }
    for text in ["", "user", "user:", "user:x", "user:1@", "user:@1", "Everyone", "group:-1", "a:1"]
    {
        assert!(text.parse::<Grantee>().is_err(), "{text}");
    }
    assert!(Right::ALL.into_iter().all(|right| right.name().parse() == Ok(right)));
    assert!("own".parse::<Right>().is_err());
}

#[test]
fn a_list_of_readers_and_writers_takes_the_place_of_all_others() {
    let (ann, bob) = (Grantee::User(UserId::new(1)), Grantee::User(UserId::new(BOB)));
    let share = Share { by: "x".to_owned(), readers: vec![ann], writers: vec![bob] };
    let old = [to(Grantee::SignedIn, Right::Read), to(Grantee::Group(GROUP), Right::Clone)];
    let wanted = [to(ann, Right::Read), to(bob, Right::Read), to(bob, Right::Write)];
    assert_eq!(share.over(&old, 1000), wanted);
    assert_eq!(Share::default().over(&wanted, 1000), []);
}

#[test]
fn who_is_named_again_keeps_its_end_and_its_right_to_clone() {
    let bob = Grantee::User(UserId::new(BOB));
    let until = |end, right| Grant { expires_ms: Some(end), ..to(bob, right) };
    let share = Share { readers: vec![bob], ..Share::default() };
    let old = [until(2000, Right::Read), to(bob, Right::Clone), to(bob, Right::Write)];
    assert_eq!(share.over(&old, 1000), old[..2]);
    assert_eq!(share.over(&[until(1000, Right::Read)], 1000), [to(bob, Right::Read)]);
    let everybody = Share { readers: vec![Grantee::SignedIn], ..Share::default() };
    let old = [to(Grantee::Everyone, Right::Read)];
    assert_eq!(everybody.over(&old, 1000), old);
}
