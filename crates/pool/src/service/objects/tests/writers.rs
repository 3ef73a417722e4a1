//! Facts about objects that belong to the account that wrote them.

use super::*;
use crate::identity::Named;
use crate::object::{OWNER_ENFORCED, OWNERSHIP};
use crate::seal::Sealing;
use crate::{CopyKeys, CopyOwner, CopyTarget, Put, Update, UpdateContent};

/// A container, and an account that is not its.
struct World {
    home: Home,
    writer: AccountId,
}

impl World {
    fn new() -> Self {
        let home = Home::new();
        let writer = home.service().account_create(&"writer".parse().unwrap(), None).unwrap().id;
        Self { home, writer }
    }

    fn service(&self) -> &Service {
        self.home.service()
    }

    /// The writer puts it.
    fn write(&self, name: &str, bytes: &[u8]) -> Object {
        let owner = Some(self.writer);
        let (name, sealing) = (named(name), &Sealing::Default);
        let to = Put { container: self.home.id, name: &name, size: None, sealing, owner };
        let finish = &mut |_: &Stored| Ok(Meta::default());
        self.service().object_put_as(&to, &mut &bytes[..], finish, &|_| Ok(())).unwrap()
    }

    fn container(&self) -> Container {
        self.service().container_by_id(self.home.id).unwrap()
    }

    /// To whom the newest of a name belongs, if not to the container's owner.
    fn writer_of(&self, name: &str) -> Option<AccountId> {
        let object = self.service().object(self.home.id, &named(name), Which::Latest).unwrap();
        self.container().writer_of(&object)
    }

    fn copy(&self, from: &str, to: &str, owner: CopyOwner) {
        let source =
            CopySource { container: self.home.id, name: named(from), which: Which::Latest };
        let keys = CopyKeys { sealing: &Sealing::Default, source: None };
        let name = named(to);
        let to = CopyTarget { container: self.home.id, name: &name, owner };
        let finish = &mut |object: &Object| Ok(object.meta.clone());
        self.service().object_copy_as(&source, keys, &to, finish, &|_| Ok(())).unwrap();
    }

    fn append_bytes(&self, name: &str, mut bytes: &[u8]) {
        let content = UpdateContent::Bytes { input: &mut bytes, size: None };
        self.append(&named(name), content).unwrap();
    }

    fn append<'a>(
        &self,
        name: &'a ObjectName,
        content: UpdateContent<'a>,
    ) -> Result<Object, Error> {
        let update = Update {
            container: self.home.id,
            name,
            place: crate::Place::End,
            content,
            size: None,
            create: true,
            owner: Some(self.writer),
            decide: Box::new(|_| Ok(Meta::default())),
        };
        self.service().object_update(update).map(|done| done.object)
    }
}

#[test]
fn each_version_belongs_to_who_put_it() {
    let world = World::new();
    world.home.versioning(Versioning::Enabled);
    let first = world.home.put("o", b"one");
    world.write("o", b"two");
    assert_eq!(world.writer_of("o"), Some(world.writer));
    let old = world.service().object(world.home.id, &named("o"), Which::Version(first.id));
    assert_eq!(old.unwrap().owner, None);
    world.home.put("o", b"three");
    assert_eq!(world.writer_of("o"), None);
}

#[test]
fn all_of_it_is_the_containers_where_its_owner_says_so() {
    let world = World::new();
    world.write("o", b"x");
    let say = |word: Option<&str>| {
        let mut change = |container: &mut Container| {
            container.settings.remove(OWNERSHIP);
            let kept = word.map(|word| (OWNERSHIP.to_owned(), format!("[\"{word}\"]")));
            container.settings.extend(kept);
            Ok(())
        };
        world.service().container_change(world.home.id, &mut change).unwrap();
    };
    say(Some(OWNER_ENFORCED));
    assert_eq!(world.writer_of("o"), None);
    world.copy("o", "kept", CopyOwner::Kept);
    say(Some("ObjectWriter"));
    assert_eq!(world.writer_of("o"), Some(world.writer));
    assert_eq!(world.writer_of("kept"), None);
    say(None);
    assert_eq!(world.writer_of("o"), Some(world.writer));
}

#[test]
fn a_copy_belongs_to_whom_it_is_made_for_and_what_stays_in_its_place_stays_whose_it_was() {
    let world = World::new();
    world.write("o", b"x");
    for (to, owner, wanted) in [
        ("place", CopyOwner::Place, None),
        ("kept", CopyOwner::Kept, Some(world.writer)),
        ("given", CopyOwner::Of(None), None),
        ("taken", CopyOwner::Of(Some(world.writer)), Some(world.writer)),
        ("o", CopyOwner::Place, Some(world.writer)),
    ] {
        world.copy("o", to, owner);
        assert_eq!(world.writer_of(to), wanted, "{to}");
    }
    let (home, to) = (world.home.id, named("moved"));
    let keep = &mut |object: &Object| Ok(object.meta.clone());
    let free = &|_: Option<&Object>| Ok(());
    world.service().object_move((home, &named("o")), home, &to, keep, free, free).unwrap();
    assert_eq!(world.writer_of("moved"), Some(world.writer));
}

#[test]
fn an_update_does_not_change_whose_it_is_and_takes_nothing_of_others() {
    let world = World::new();
    world.append_bytes("new", b"1");
    assert_eq!(world.writer_of("new"), Some(world.writer));
    world.home.put("own", b"1");
    world.append_bytes("own", b"2");
    assert_eq!(world.writer_of("own"), None);
    let from = CopySource { container: world.home.id, name: named("new"), which: Which::Latest };
    let (own, content) = (named("own"), UpdateContent::Object { from, range: None });
    let taken = world.append(&own, content);
    assert_eq!(taken.unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(world.home.get("own", Which::Latest).unwrap(), b"12");
}

#[test]
fn an_upload_is_whose_the_object_will_be() {
    let world = World::new();
    let (home, name) = (world.home.id, named("o"));
    let begun = world.service().upload_create_as(
        home,
        &name,
        Meta::default(),
        &Sealing::Default,
        Some(world.writer),
    );
    let at = UploadAt { container: home, name: &name, uuid: &begun.unwrap().uuid };
    assert_eq!(world.service().upload(at).unwrap().owner, Some(world.writer));
    let none = &mut |_: &Stored| Ok(BTreeMap::new());
    let part = world.service().upload_part(at, 1, Some(1), &mut &b"x"[..], none).unwrap();
    let finish = &mut |upload: &crate::object::Upload, _: &[_]| Ok(upload.meta.clone());
    world.service().upload_complete(at, &[(1, part.etag)], finish, &|_| Ok(())).unwrap();
    assert_eq!(world.writer_of("o"), Some(world.writer));
}

#[test]
fn a_fork_keeps_whose_it_is() {
    let world = World::new();
    world.write("o", b"x");
    let keep = &mut |object: &Object| object.meta.clone();
    let fork = world.service().container_fork(world.home.id, &container_name("fork"), keep);
    let fork = fork.unwrap();
    let object = world.service().object(fork.id, &named("o"), Which::Latest).unwrap();
    assert_eq!(fork.writer_of(&object), Some(world.writer));
}

#[test]
fn what_an_account_wrote_elsewhere_is_the_containers_when_it_is_gone() {
    let world = World::new();
    world.write("o", b"x");
    world.service().account_remove(&Named::name("writer")).unwrap();
    assert_eq!(world.writer_of("o"), None);
    // Nor does it get anything later.
    world.write("late", b"x");
    assert_eq!(world.writer_of("late"), None);
    assert_eq!(world.home.counters(), (2, 2, 0));
}

#[test]
fn a_link_shows_nothing_that_others_put_under_its_name() {
    let world = World::new();
    world.home.put("o", b"mine");
    let name = named("o");
    let link = world.service().link_create("x", world.home.id, &name, None, &|_| Ok(())).unwrap();
    assert!(world.service().link_open(link.id.expose()).is_ok());
    world.write("o", b"theirs");
    let refused = world.service().link_open(link.id.expose()).err().unwrap();
    assert_eq!(refused.kind(), ErrorKind::NotFound);
}
