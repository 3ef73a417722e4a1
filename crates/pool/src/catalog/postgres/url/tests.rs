//! Facts about urls of catalogs and passwords for them.

use super::*;
use crate::ErrorKind;

fn parsed(url: &str) -> Settings {
    Settings::parse(url).unwrap()
}

fn refused(url: &str) -> String {
    let error = Settings::parse(url).map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    error.message().to_owned()
}

#[test]
fn a_url_says_where_and_as_whom() {
    let here = parsed("postgres://arch@127.0.0.1:5433/store?schema=one&passfile=/etc/pass");
    assert_eq!((&*here.user, &*here.database, &*here.schema), ("arch", "store", "one"));
    assert_eq!((here.port, here.host.clone()), (5433, Host::Name("127.0.0.1".to_owned())));
    assert_eq!(here.passfile.as_deref(), Some(Path::new("/etc/pass")));
    let socket = parsed("postgres:///store?host=/run/postgresql&user=arch");
    assert_eq!((socket.port, &*socket.schema), (PORT, "public"));
    assert_eq!(socket.host, Host::Socket("/run/postgresql".into()));
    assert_eq!(parsed("postgres://arch@%2Frun%2Fpostgresql/store").host, socket.host);
    assert_eq!(parsed("postgresql://a%40b@[::1]/s").user, "a@b");
}

#[test]
fn what_is_no_url_of_a_catalog_is_refused() {
    for url in [
        "s3://bucket/x",
        "postgres://127.0.0.1/store",
        "postgres://arch@127.0.0.1",
        "postgres://arch@127.0.0.1/a/b",
        "postgres:///store?user=arch",
        "postgres://arch@127.0.0.1/store?colour=red",
        "postgres://arch@127.0.0.1/store?schema=One",
        "postgres://arch@127.0.0.1/store?schema=1one",
        "postgres://arch@127.0.0.1/store?schema=",
        "postgres://arch@127.0.0.1/store?schema=a%22;drop",
    ] {
        refused(url);
    }
}

#[test]
fn a_password_in_a_url_is_refused_and_not_repeated() {
    let told = refused("postgres://arch:hunter2@127.0.0.1/store");
    assert!(told.contains("passfile") && !told.contains("hunter2"), "{told}");
}

#[test]
fn nothing_goes_over_a_network_in_clear_unless_somebody_says_so() {
    for url in [
        "postgres://arch@db.example.org/store",
        "postgres://arch@10.0.0.1/store",
        "postgres://arch@127.0.0.1/store?sslmode=require",
    ] {
        assert!(refused(url).contains("TLS"), "{url}");
    }
    for url in [
        "postgres://arch@localhost/store",
        "postgres://arch@[::1]/store",
        "postgres://arch@db.example.org/store?sslmode=disable",
    ] {
        parsed(url);
    }
}

#[test]
fn a_password_is_that_of_the_line_for_the_server() {
    let here = parsed("postgres://arch@127.0.0.1:5433/store");
    let found = |line: &str| here.password_of(line).map(|password| password.to_string());
    assert_eq!(found("127.0.0.1:5433:store:arch:secret").as_deref(), Some("secret"));
    assert_eq!(found("*:*:*:arch:a\\:b\\\\c").as_deref(), Some("a:b\\c"));
    for line in ["", "#*:*:*:*:x", "*:5432:*:*:x", "*:*:other:*:x", "*:*:*:me:x", "*:*:*:*"] {
        assert_eq!(found(line), None, "{line}");
    }
}

#[test]
fn a_file_without_the_password_or_out_of_reach_is_told() {
    let dir = tempfile::TempDir::new().unwrap();
    let file = dir.path().join("pass");
    let url = format!("postgres://arch@127.0.0.1/store?passfile={}", file.display());
    let env = Env::real();
    let missing = parsed(&url).config(&env).map(drop).unwrap_err();
    assert!(missing.message().contains("passfile"), "{missing}");
    std::fs::write(&file, "other:*:*:*:x\n").unwrap();
    let none = parsed(&url).config(&env).map(drop).unwrap_err();
    assert!(none.message().contains("HOST:PORT"), "{none}");
    std::fs::write(&file, "# a comment\n127.0.0.1:5432:store:arch:secret\n").unwrap();
    assert_eq!(parsed(&url).config(&env).unwrap().get_password(), Some(&b"secret"[..]));
}
