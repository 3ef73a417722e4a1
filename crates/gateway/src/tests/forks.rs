//! Forks over the native API.

use archipelago_api::{Container, ErrorKind, path};
use archipelago_model::AccountId;
use archipelago_pool::{Meta, Object, Stored, Which};

use super::harness::Harness;

#[test]
fn what_doors_keep_of_one_object_is_not_in_a_fork_and_what_describes_its_content_is() {
    let server = Harness::start();
    let service = &server.app.service;
    service.found_admin().unwrap();
    let home = service.container_create(AccountId::new(0), &"data".parse().unwrap()).unwrap();
    let of_content = ["s3.storage-class", "swift.delete-at", "swift.dlo", "swift.slo-etag"];
    let of_object = ["pithos.uuid", "s3.acl", "s3.lock.mode", "s3.upload", "swift.changed"];
    let far = "9999999999".to_owned();
    let finish = &mut |_: &Stored| {
        let all = of_content.into_iter().chain(of_object);
        let settings = all.map(|name| (name.to_owned(), far.clone())).collect();
        Ok(Meta { settings, ..Meta::default() })
    };
    let name = "o".parse().unwrap();
    service
        .object_put(home.id, &name, Some(3), &mut &b"abc"[..], finish, &|_: Option<&Object>| Ok(()))
        .unwrap();
    let fork = path::container_fork("admin", "data");
    let made: Container = server.post(&fork, r#"{"name":"exp"}"#).json(201);
    assert_eq!((made.name.as_str(), made.objects, made.used_bytes), ("exp", 1, 3));
    let home = service.container(AccountId::new(0), &"exp".parse().unwrap()).unwrap();
    let copy = service.object(home.id, &name, Which::Latest).unwrap();
    assert_eq!(copy.meta.settings.keys().collect::<Vec<_>>(), of_content);
    server.post(&fork, r#"{"name":"exp"}"#).error(409, ErrorKind::AlreadyExists);
    server.post(&fork, r#"{"name":"a/b"}"#).error(400, ErrorKind::Invalid);
    server.post(&fork, r#"{"name":"snapshots"}"#).error(403, ErrorKind::ReadOnly);
    let none = path::container_fork("admin", "none");
    server.post(&none, r#"{"name":"new"}"#).error(404, ErrorKind::NotFound);
}
