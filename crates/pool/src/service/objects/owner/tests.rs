//! Facts about what is kept of accounts.

use crate::error::ErrorKind;
use crate::identity::Named;
use crate::object::{Meta, Totals};
use crate::testing::Bench;

#[test]
fn settings_of_an_account_are_kept_within_a_limit_and_its_containers_are_counted() {
    let bench = Bench::new();
    let service = &bench.service;
    let account = service.account_create(&"lab".parse().unwrap(), None).unwrap();
    assert!(service.account_settings(account.id).unwrap().is_empty());
    let set = |name: &str, value: &str| {
        service.account_change(account.id, &mut |settings| {
            settings.insert(name.to_owned(), value.to_owned());
            Ok(())
        })
    };
    set("a", "1").unwrap();
    assert_eq!(set("b", &"x".repeat(65 << 10)).unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(service.account_settings(account.id).unwrap().len(), 1);
    assert_eq!(service.account_totals(account.id).unwrap(), Totals::default());
    for name in ["one", "two"] {
        let home = service.container_create(account.id, &name.parse().unwrap()).unwrap();
        let (object, mut bytes) = ("o".parse().unwrap(), &b"four"[..]);
        let finish = &mut |_: &_| Ok(Meta::default());
        service.object_put(home.id, &object, None, &mut bytes, finish, &|_| Ok(())).unwrap();
    }
    let totals = Totals { containers: 2, objects: 2, bytes: 8 };
    assert_eq!(service.account_totals(account.id).unwrap(), totals);
    let other = service.account_create(&"other".parse().unwrap(), None).unwrap();
    assert_eq!(service.account_totals(other.id).unwrap(), Totals::default());
    service.account_remove(&Named::name("other")).unwrap();
    let gone = service.account_settings(other.id).unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound);
}
