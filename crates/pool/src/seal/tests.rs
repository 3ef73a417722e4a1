use archipelago_env::Env;

use super::*;

fn client(byte: u8) -> ClientKey {
    ClientKey::new(&[byte; KEY_BYTES]).unwrap()
}

/// Seals and opens with a key of the store that is all of this byte.
fn with<T>(byte: u8, body: impl FnOnce(&Sealer<'_>) -> T) -> T {
    let env = Env::real();
    let store_key: &StoreKey<'_> = &|| Ok(Zeroizing::new([byte; KEY_BYTES]));
    body(&Sealer { store_key, random: &**env.random() })
}

fn service(account: u64, key: &str) -> Target {
    Target::Kept(SealedBy::Service { account, key: key.to_owned() })
}

#[test]
fn a_data_key_opens_under_the_key_it_was_wrapped_under_and_no_other() {
    let target = Target::Client(client(1));
    let (seal, key) = with(9, |sealer| sealer.seal(&target, true)).unwrap();
    let opened = with(9, |sealer| sealer.open(&seal, Some(&client(1)))).unwrap();
    assert_eq!(opened.bytes(), key.bytes());
    assert!(client(1).opens(&seal) && !client(2).opens(&seal));
    for wrong in [Some(&client(2)), None] {
        let error = with(9, |sealer| sealer.open(&seal, wrong)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
}

#[test]
fn a_seal_of_the_store_says_that_secret_key_is_another_one() {
    for target in [Target::Kept(SealedBy::Store), service(1, "k")] {
        let (seal, key) = with(9, |sealer| sealer.seal(&target, true)).unwrap();
        assert_eq!(with(9, |sealer| sealer.open(&seal, None)).unwrap().bytes(), key.bytes());
        let error = with(8, |sealer| sealer.open(&seal, None)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Damaged);
        assert!(error.message().contains("secret.key"), "{error}");
    }
}

#[test]
fn a_wrapped_key_does_not_open_as_that_of_another_account_or_name() {
    let (seal, _) = with(9, |sealer| sealer.seal(&service(1, "k"), true)).unwrap();
    for by in [
        SealedBy::Service { account: 2, key: "k".to_owned() },
        SealedBy::Service { account: 1, key: "l".to_owned() },
        SealedBy::Store,
    ] {
        let other = Seal { by, ..seal.clone() };
        assert!(with(9, |sealer| sealer.open(&other, None)).is_err(), "{other:?}");
    }
}

#[test]
fn the_same_content_is_sealed_to_other_bytes_each_time() {
    let (first, one) = with(9, |sealer| sealer.seal(&Target::Kept(SealedBy::Store), true)).unwrap();
    let (second, two) =
        with(9, |sealer| sealer.seal(&Target::Kept(SealedBy::Store), true)).unwrap();
    let sealed = |seal: &Seal, key: &DataKey| {
        let mut bytes = vec![7; 100];
        Pieces::whole(seal.nonce.as_deref().unwrap()).unwrap().apply(key, 0, &mut bytes).unwrap();
        bytes
    };
    assert_ne!(sealed(&first, &one), sealed(&second, &two));
    assert_ne!(sealed(&first, &one), vec![7; 100]);
}

#[test]
fn any_range_opens_by_itself_across_parts() {
    let env = Env::real();
    let key = DataKey::random(&**env.random()).unwrap();
    let lens = [5_u64, 0, 16, 100, 1, 33];
    let parts: Vec<(u64, String)> =
        lens.iter().map(|len| (*len, DataKey::nonce(&**env.random()))).collect();
    let plain: Vec<u8> = (0..lens.iter().sum::<u64>()).map(|at| at as u8).collect();
    let mut stored = Vec::new();
    let mut at = 0;
    for (len, nonce) in &parts {
        let mut part = plain[at..at + *len as usize].to_vec();
        Pieces::whole(nonce).unwrap().apply(&key, 0, &mut part).unwrap();
        stored.extend(part);
        at += *len as usize;
    }
    let pieces = Pieces::of_parts(&parts).unwrap();
    for from in 0..plain.len() {
        for to in from..=plain.len() {
            let mut bytes = stored[from..to].to_vec();
            pieces.apply(&key, from as u64, &mut bytes).unwrap();
            assert_eq!(bytes, plain[from..to], "{from}..{to}");
        }
    }
    let mut beyond = [0];
    assert!(pieces.apply(&key, plain.len() as u64, &mut beyond).is_err());
}

#[test]
fn the_counter_goes_on_where_it_overflows() {
    let key = DataKey::new(&[3; KEY_BYTES]).unwrap();
    let pieces = Pieces::whole(&"ff".repeat(16)).unwrap();
    let mut whole = [0; 48];
    pieces.apply(&key, 0, &mut whole).unwrap();
    let mut rest = [0; 31];
    pieces.apply(&key, 17, &mut rest).unwrap();
    assert_eq!(whole[17..], rest);
}

#[test]
fn it_is_aes_256_in_counter_mode() {
    // The example of NIST SP 800-38A, F.5.5.
    let key = hex::decode("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4");
    let key = DataKey::new(&key.unwrap()).unwrap();
    let pieces = Pieces::whole("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff").unwrap();
    let mut bytes = hex::decode("6bc1bee22e409f96e93d7e117393172a").unwrap();
    pieces.apply(&key, 0, &mut bytes).unwrap();
    assert_eq!(hex::encode(bytes), "601ec313775789a5b7a7f504bbf3d228");
}

#[test]
fn keys_are_shown_to_no_formatter() {
    let key = DataKey::new(&[0x5a; KEY_BYTES]).unwrap();
    let shown = format!("{:?} {:?} {:?}", client(0x5a), key, Sealing::Client(client(0x5a)));
    assert!(!shown.contains("90") && !shown.to_lowercase().contains("5a"), "{shown}");
}

#[test]
fn damaged_seals_are_errors() {
    let (seal, _) = with(9, |sealer| sealer.seal(&Target::Kept(SealedBy::Store), true)).unwrap();
    for wrapped in ["", "00", "zz", &seal.wrapped[2..], &format!("{}00", seal.wrapped)] {
        let broken = Seal { wrapped: wrapped.to_owned(), ..seal.clone() };
        assert!(with(9, |sealer| sealer.open(&broken, None)).is_err(), "{wrapped}");
    }
    assert!(Pieces::whole("00").is_err());
    assert!(Pieces::of_parts(&[(1, "zz".to_owned())]).is_err());
}
