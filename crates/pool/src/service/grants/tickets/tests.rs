//! Facts about tickets.

use std::path::Path;

use archipelago_model::VolumeSize;

use super::*;
use crate::grant::{Grant, Right};
use crate::identity::{Identity, Member, Named, NewUser};
use crate::resource::{Origin, Volume};
use crate::testing::{Bench, Hands, config, noise, vol};
use crate::{ChangedRange, Write};

const HOUR_MS: u64 = 3_600_000;

struct World {
    bench: Bench,
    olga: Subject,
    bob: Subject,
}

fn world() -> World {
    world_in(Bench::new())
}

fn timed() -> (World, std::sync::Arc<Hands>) {
    let (bench, hands) = Bench::timed(config());
    (world_in(bench), hands)
}

fn world_in(bench: Bench) -> World {
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
        Ok(self.bench.service.ticket(who, None, &source, HOUR_MS)?.export.expose().to_owned())
    }

    fn opens(&self, export: &str) -> Option<bool> {
        let opened = self.bench.service.open_with_ticket(export);
        opened
            .map(|opened| opened.read_only)
            .map_err(|error| assert_eq!(error.kind(), ErrorKind::NotFound))
            .ok()
    }

    fn device(&self, export: &str) -> Admitted {
        self.bench.service.open_with_ticket(export).unwrap()
    }

    /// One of bob for the volume.
    fn shared(&self, rights: &[Right]) -> String {
        self.say(rights);
        self.ticket(&self.bob, "volume:olga/web").unwrap()
    }

    fn shrink(&self) -> Result<Volume, Error> {
        let size = VolumeSize::from_bytes(512).unwrap();
        self.bench.service.volume_resize(&"olga/web".parse().unwrap(), size)
    }

    fn say(&self, rights: &[Right]) {
        self.say_of("volume:olga/web", rights);
    }

    fn say_of(&self, source: &str, rights: &[Right]) {
        let service = &self.bench.service;
        let shared = service.shared(&Named::name("olga"), source).unwrap();
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
    let ticket = service.ticket(&admin, None, &source, HOUR_MS).unwrap();
    assert_eq!(
        service.ticket(&admin, None, &source, TICKET_MS_MAX + 1).unwrap_err().kind(),
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

#[test]
fn no_device_tells_of_snapshots_that_are_not_shared() {
    let world = world();
    for name in ["olga/web@one", "olga/web@two"] {
        world.bench.snapshot(name).unwrap();
    }
    let ticket = world.shared(&[Right::Read]);
    let device = world.device(&ticket).device;
    let one = "one".parse().unwrap();
    let kind = || device.changed_since(&one, 0, 4096, 8).map_err(|error| error.kind());
    assert_eq!(device.snapshots().unwrap(), []);
    assert_eq!(kind(), Err(ErrorKind::NotFound));
    world.say_of("snapshot:olga/web@one", &[Right::Read]);
    assert_eq!(device.snapshots().unwrap(), std::slice::from_ref(&one));
    assert_eq!(kind(), Ok(vec![ChangedRange { len: 4096, changed: false }]));
    world.say_of("snapshot:olga/web@one", &[]);
    assert_eq!(kind(), Err(ErrorKind::NotFound));
    // Nor does that of a snapshot, which alone is shared.
    world.say_of("snapshot:olga/web@two", &[Right::Read]);
    let two = world.ticket(&world.bob, "snapshot:olga/web@two").unwrap();
    let two = world.device(&two).device;
    assert_eq!(two.snapshots().unwrap(), ["two".parse().unwrap()]);
    assert!(two.changed_since(&one, 0, 4096, 8).is_err());
    let mine = world.ticket(&world.olga, "volume:olga/web").unwrap();
    assert_eq!(world.device(&mine).device.snapshots().unwrap().len(), 2);
}

#[test]
fn a_ticket_is_for_a_volume_and_not_for_whatever_has_its_name() {
    let world = world();
    let mine = world.ticket(&world.olga, "volume:olga/web").unwrap();
    world.bench.service.volume_rename(&vol("olga/web"), &vol("olga/old")).unwrap();
    assert_eq!(world.opens(&mine), None);
    world.bench.create("olga/web", 4096);
    let error = world.bench.service.open_with_ticket(&mine).err().unwrap();
    assert!(error.message().contains("is for another one"), "{error}");
    world.bench.service.volume_rename(&vol("olga/web"), &vol("olga/new")).unwrap();
    world.bench.service.volume_rename(&vol("olga/old"), &vol("olga/web")).unwrap();
    assert_eq!(world.opens(&mine), Some(false));
}

#[test]
fn a_ticket_of_a_time_that_was_ahead_is_none() {
    let (world, hands) = timed();
    hands.set_by(HOUR_MS.cast_signed());
    let service = &world.bench.service;
    let source = "volume:olga/web".parse().unwrap();
    let ticket = service.ticket(&world.olga, None, &source, TICKET_MS_MAX).unwrap();
    assert_eq!(world.opens(ticket.export.expose()), Some(false));
    hands.set_by(-HOUR_MS.cast_signed());
    assert_eq!(world.opens(ticket.export.expose()), None);
}

#[test]
fn a_ticket_ends_with_the_application_credential_that_it_was_got_with() {
    let (world, hands) = timed();
    let (service, olga) = (&world.bench.service, Named::name("olga"));
    let source = "volume:olga/web".parse().unwrap();
    let with = |name: &str, expires_ms| {
        let name = name.parse().unwrap();
        let made = service.application_credential_create(&olga, &olga, &name, None, expires_ms);
        let uuid = made.unwrap().0.uuid;
        (uuid, service.ticket(&world.olga, Some(uuid), &source, HOUR_MS).unwrap())
    };
    let ends_ms = service.now_ms() + HOUR_MS / 2;
    let (_, short) = with("short", Some(ends_ms));
    assert_eq!(short.expires_ms, ends_ms);
    let (uuid, ticket) = with("ci", None);
    let open = world.device(ticket.export.expose()).device;
    service.application_credential_remove(&olga, &hex::encode(uuid)).unwrap();
    assert_eq!(world.opens(ticket.export.expose()), None);
    hands.forward(6000);
    assert_eq!(open.flush().unwrap_err().kind(), ErrorKind::Forbidden);
    assert!(service.ticket(&world.olga, Some(uuid), &source, HOUR_MS).is_err());
}

#[test]
fn who_may_only_read_keeps_nobody_from_the_volume() {
    let world = world();
    world.bench.put("olga/web", 0, &noise(1, 4096));
    world.bench.snapshot("olga/web@one").unwrap();
    // Also of what is open and has writes that no map has.
    let writer = world.bench.device("olga/web");
    writer.write(&[Write::Data { offset: 0, bytes: &noise(2, 4096) }]).unwrap();
    let reader = world.device(&world.shared(&[Right::Read])).device;
    drop(writer);
    let volume = || world.bench.service.volume(&vol("olga/web")).unwrap();
    assert_eq!(volume().attached, 0);
    world.bench.service.snapshot_rollback(&"olga/web@one".parse().unwrap()).unwrap();
    world.shrink().unwrap();
    world.bench.service.volume_remove(&vol("olga/web"), true).unwrap();
    let mut out = vec![0; 4096];
    reader.read(0, &mut out).unwrap();
    assert_eq!(out, noise(2, 4096));
}

#[test]
fn a_right_that_ends_ends_what_is_open() {
    let (world, hands) = timed();
    let ticket = world.shared(&[Right::Read, Right::Write]);
    let (used, idle) = (world.device(&ticket).device, world.device(&ticket).device);
    let write = || used.write(&[Write::Data { offset: 0, bytes: &noise(1, 512) }]);
    write().unwrap();
    assert_eq!(world.shrink().unwrap_err().kind(), ErrorKind::InUse);
    // To read is another right than the one that these have.
    world.say(&[Right::Read]);
    hands.forward(6000);
    assert_eq!(write().unwrap_err().kind(), ErrorKind::Forbidden);
    assert_eq!(used.read(0, &mut [0; 512]).unwrap_err().kind(), ErrorKind::Forbidden);
    // One that is not used ends when somebody needs the volume alone.
    world.shrink().unwrap();
    assert_eq!(idle.flush().unwrap_err().kind(), ErrorKind::Forbidden);
}

#[test]
fn to_remove_by_force_ends_what_others_have_open_and_nothing_of_the_owner() {
    let world = world();
    let remove = |force| world.bench.service.volume_remove(&vol("olga/web"), force);
    let mine = world.device(&world.ticket(&world.olga, "volume:olga/web").unwrap());
    let shared = world.device(&world.shared(&[Right::Read, Right::Write])).device;
    assert_eq!(remove(true).unwrap_err().kind(), ErrorKind::InUse);
    assert_eq!(shared.flush().unwrap_err().kind(), ErrorKind::Forbidden);
    mine.device.flush().unwrap();
    drop(mine);
    let _shared = world.device(&world.ticket(&world.bob, "volume:olga/web").unwrap());
    assert_eq!(remove(false).unwrap_err().kind(), ErrorKind::InUse);
    remove(true).unwrap();
}

#[test]
fn tickets_that_are_made_used_and_refused_are_in_the_record() {
    let world = world();
    let ticket = world.shared(&[Right::Read]);
    assert_eq!(world.opens(&ticket), Some(true));
    world.say(&[]);
    assert_eq!(world.opens(&ticket), None);
    let log = world.bench.service.audit_log(None, 100).unwrap();
    let of_bob = log.iter().filter(|line| line.actor == "bob");
    let mut of_bob: Vec<_> = of_bob.map(|line| (line.event.name(), &*line.resource)).collect();
    of_bob.sort_unstable();
    let web = "volume 'olga/web'";
    assert_eq!(of_bob, [("refused", web), ("ticket-made", web), ("ticket-used", web)]);
}
