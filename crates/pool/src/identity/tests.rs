//! Facts about secrets, seals and names.

use archipelago_env::Env;

use super::*;

fn keys(byte: u8) -> Keys {
    Keys::new(&[byte; 32]).unwrap()
}

fn seal(keys: &Keys, owner: &str, secret: &str) -> String {
    keys.seal(&**Env::real().random(), owner, &Secret::new(secret)).unwrap()
}

#[test]
fn a_secret_does_not_show_itself_to_a_formatter() {
    let secret = Secret::new("hunter2-hunter2");
    assert_eq!(format!("{secret:?}"), "Secret(..)");
    assert_eq!(secret.expose(), "hunter2-hunter2");
    let login = format!("{:?}", Some(&secret));
    assert!(!login.contains("hunter2"));
}

#[test]
fn five_bits_become_one_character() {
    assert_eq!(base32(&[0; 5]).as_str(), "aaaaaaaa");
    assert_eq!(base32(&[0xff; 5]).as_str(), "99999999");
    assert_eq!(base32(&[0b0000_1000, 0b1000_0110, 0b0100_0010, 0b1001_1000, 0b1110_1000]).len(), 8);
    // 5 bits each: 1, 2, 3, 4, 5, 6, 7, 8
    let bytes = [0b0000_1000, 0b1000_0110, 0b0100_0010, 0b1001_1000, 0b1110_1000];
    assert_eq!(base32(&bytes).as_str(), "bcdefghi");
    assert_eq!(base32(&[7; 12]).len(), 19);
}

#[test]
fn what_was_sealed_opens_to_its_owner_and_to_nobody_else() {
    let keys = keys(1);
    let sealed = seal(&keys, "AR1/u/a", "secret");
    assert_eq!(keys.open("AR1/u/a", &sealed).unwrap().expose(), "secret");
    assert!(keys.open("AR2/u/a", &sealed).is_none());
    assert!(self::keys(2).open("AR1/u/a", &sealed).is_none());
    assert!(!sealed.contains(&hex::encode("secret")));
    assert_ne!(seal(&keys, "AR1/u/a", "secret"), sealed, "each has a nonce of its own");
}

#[test]
fn a_seal_that_was_changed_or_cut_does_not_open() {
    let keys = keys(1);
    let sealed = seal(&keys, "o", "secret");
    for at in 0..sealed.len() {
        let mut other = sealed.clone().into_bytes();
        other[at] = if other[at] == b'0' { b'1' } else { b'0' };
        assert!(keys.open("o", std::str::from_utf8(&other).unwrap()).is_none(), "{at}");
        assert!(keys.open("o", &sealed[..at]).is_none(), "{at}");
    }
}

#[test]
fn the_name_of_a_key_and_the_hash_of_a_token_depend_on_the_key() {
    assert_ne!(keys(1).name(), keys(2).name());
    assert_eq!(keys(1).token_hash("t"), keys(1).token_hash("t"));
    assert_ne!(keys(1).token_hash("t"), keys(2).token_hash("t"));
    assert_ne!(keys(1).token_hash("t"), blake3::hash(b"t").to_hex().to_string());
}

#[test]
fn roles_are_read_as_they_are_written() {
    for role in [Role::Admin, Role::Member, Role::Reader] {
        assert_eq!(role.to_string().parse(), Ok(role));
    }
    let error = "king\n".parse::<Role>().unwrap_err().to_string();
    assert_eq!(error, "'king\\n' is not a role: use admin, member, reader or guest");
}
