//! Facts about tickets.

use std::path::Path;

use archipelago_model::VolumeSize;

use super::*;
use crate::grant::{Grant, Right};
use crate::identity::{Identity, Member, Named, NewUser};
use crate::resource::Origin;
use crate::testing::{Bench, Hands, config};

const HOUR_MS: u64 = 3_600_000;

struct World {
    bench: Bench,
    olga: Subject,
    bob: Subject,
}

fn world() -> World {
    let bench = Bench::new();
    bench.service.found_admin().unwrap();
    let make = |name: &str| -> Subject {
        let (name, password) = (name.parse().unwrap(), Secret::new("correct horse"));
        let new = NewUser { name, password, is_admin: false, account: None };
        let Member { user, account, role } = bench.service.user_create(&new).unwrap();
        bench.service.subject(Some(&Identity { user, account, role })).unwrap()
    };
    let (olga, bob) = (make("olga"), make("bob"));
    let size = VolumeSize::from_bytes(4096).unwrap();
    let name = "olga/web".parse().unwrap();
    bench.service.volume_create(&[name], &Origin::Empty(size)).unwrap();
    World { bench, olga, bob }
}

impl World {
    fn ticket(&self, who: &Subject, source: &str) -> Result<String, Error> {
        let source = source.parse().unwrap();
        Ok(self.bench.service.ticket(who, &source, HOUR_MS)?.export.expose().to_owned())
    }

    fn opens(&self, export: &str) -> Option<bool> {
        let opened = self.bench.service.open_with_ticket(export);
        opened
            .map(|opened| opened.read_only)
            .map_err(|error| assert_eq!(error.kind(), ErrorKind::NotFound))
            .ok()
    }

    fn say(&self, rights: &[Right]) {
        let service = &self.bench.service;
        let shared = service.shared(&Named::name("olga"), "volume:olga/web").unwrap();
        let bob = service.grantee(&Named::name("olga"), "bob").unwrap();
        let mut set = |all: &mut Vec<Grant>| {
            *all = rights.iter().map(|right| Grant::new(bob, *right)).collect();
            Ok(())
        };
        service.grants_change("olga", &shared, &mut set).unwrap();
    }
}

#[test]
fn the_rule_is_asked_when_a_ticket_is_shown() {
    let world = world();
    let mine = world.ticket(&world.olga, "volume:olga/web").unwrap();
    assert_eq!(world.opens(&mine), Some(false));
    assert_eq!(
        world.ticket(&world.bob, "volume:olga/web").unwrap_err().kind(),
        ErrorKind::NotFound
    );
    world.say(&[Right::Read]);
    let shared = world.ticket(&world.bob, "volume:olga/web").unwrap();
    assert_eq!(world.opens(&shared), Some(true));
    world.say(&[Right::Read, Right::Write]);
    assert_eq!(world.opens(&shared), Some(false));
    world.say(&[]);
    assert_eq!(world.opens(&shared), None);
    world.bench.service.user_enable(&Named::name("olga"), false).unwrap();
    assert_eq!(world.opens(&mine), None);
}

#[test]
fn a_ticket_is_for_one_export_and_cannot_be_changed() {
    let world = world();
    let path = "olga/web@one".parse().unwrap();
    world.bench.service.snapshot_create(&[path]).unwrap();
    let ticket = world.ticket(&world.olga, "volume:olga/web").unwrap();
    let (name, text) = ticket.split_once(TICKET_MARK).unwrap();
    assert_eq!(world.opens(&format!("olga/web@one~{text}")), None);
    assert_eq!(world.opens(&format!("volume:{name}~{text}")), Some(false));
    for at in [0, 20, 40, text.len() - 1] {
        let mut other = text.to_owned();
        let flipped = if &text[at..=at] == "0" { "1" } else { "0" };
        other.replace_range(at..=at, flipped);
        assert_eq!(world.opens(&format!("{name}~{other}")), None, "{at}");
    }
    for wrong in ["", "00", "zz", &text[1..], &format!("{text}00")] {
        assert_eq!(world.opens(&format!("{name}~{wrong}")), None, "{wrong}");
    }
    assert_eq!(world.opens(name), None);
}

#[test]
fn a_ticket_ends_and_outlives_a_restart() {
    let hands = std::sync::Arc::new(Hands::default());
    let dir = tempfile::tempdir().unwrap();
    let open = |path: &Path| Service::open(path, hands.env(), config()).unwrap();
    let service = open(dir.path());
    service.found_admin().unwrap();
    let size = VolumeSize::from_bytes(4096).unwrap();
    service.volume_create(&["web".parse().unwrap()], &Origin::Empty(size)).unwrap();
    let member = service.members_of_user(&Named::name("admin")).unwrap().remove(0);
    let Member { user, account, role } = member;
    let admin = service.subject(Some(&Identity { user, account, role })).unwrap();
    let source = "volume:web".parse().unwrap();
    let ticket = service.ticket(&admin, &source, HOUR_MS).unwrap();
    assert_eq!(
        service.ticket(&admin, &source, TICKET_MS_MAX + 1).unwrap_err().kind(),
        ErrorKind::Invalid
    );
    service.close().unwrap();
    drop(service);
    let service = open(dir.path());
    hands.forward(HOUR_MS - 1);
    assert!(service.open_with_ticket(ticket.export.expose()).is_ok());
    hands.forward(1);
    assert!(service.open_with_ticket(ticket.export.expose()).is_err());
    service.close().unwrap();
}
