//! Facts about hashes of passwords.

use archipelago_env::Env;

use super::*;

#[test]
fn a_password_is_known_again_and_another_is_not() {
    let (passwords, env) = (Passwords::default(), Env::real());
    let right = Secret::new("correct horse");
    let hash = passwords.hash(&**env.random(), &right).unwrap();
    assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
    assert!(passwords.is(&right, Some(&hash)).unwrap());
    assert!(!passwords.is(&Secret::new("correct horse "), Some(&hash)).unwrap());
    assert_ne!(passwords.hash(&**env.random(), &right).unwrap(), hash, "salted");
}

/// Made by the reference implementation, through argon2-cffi.
#[test]
fn hashes_are_those_of_the_reference() {
    let hash = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA\
                $K13EBUiG7JV+9ZxztmHFTdb7J0WQsnj2V8bZaqyPptE";
    assert!(Passwords::default().is(&Secret::new("password"), Some(hash)).unwrap());
    assert!(!Passwords::default().is(&Secret::new("passwore"), Some(hash)).unwrap());
}

#[test]
fn nobody_has_a_hash_that_costs_the_same_and_fits_no_password() {
    let nobody = PasswordHash::new(NOBODY).unwrap();
    assert_eq!(Params::try_from(&nobody).unwrap().m_cost(), MEMORY_KIB);
    assert_eq!(Params::try_from(&nobody).unwrap().t_cost(), PASSES);
    assert_eq!(nobody.hash.map(|hash| hash.len()), Some(32));
    assert!(!Passwords::default().is(&Secret::new(""), None).unwrap());
}

#[test]
fn a_hash_that_is_none_is_an_error_and_not_a_wrong_password() {
    let other = NOBODY.replace("argon2id", "argon2i");
    for stored in ["plain", "$argon2id$v=19$m=19456,t=2,p=1", &other] {
        let error = Passwords::default().is(&Secret::new("x"), Some(stored)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal, "{stored}");
    }
}

#[test]
fn only_a_few_hashes_are_computed_at_once() {
    let passwords = Passwords::default();
    let turns: Vec<_> = (0..HASHES_MAX).map(|_| passwords.turn()).collect();
    assert_eq!(*passwords.running.lock(), HASHES_MAX);
    let env = Env::real();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| drop(passwords.turn()));
        env.clock().sleep(std::time::Duration::from_millis(20));
        assert!(!waiting.is_finished());
        drop(turns);
        waiting.join().unwrap();
    });
    assert_eq!(*passwords.running.lock(), 0);
}

#[test]
fn passwords_that_are_too_short_or_too_long_are_refused() {
    for (len, fits) in [(7, false), (8, true), (1024, true), (1025, false)] {
        assert_eq!(check(&Secret::new("x".repeat(len))).is_ok(), fits, "{len}");
    }
}
