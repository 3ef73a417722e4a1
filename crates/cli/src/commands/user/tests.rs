use super::*;

#[test]
fn a_new_key_shows_its_secret_and_a_list_does_not() {
    let key = api::Key {
        id: "ARKEY".to_owned(),
        secret: Some(api::Hidden("hush".to_owned())),
        user: "bob".to_owned(),
        account: "lab".to_owned(),
        created_ms: 0,
    };
    let text = new_key(&key);
    assert!(text.contains("access key  ARKEY") && text.contains("secret key  hush"), "{text}");
    assert!(!key_table(std::slice::from_ref(&key)).contains("hush"));
    assert!(!format!("{key:?}").contains("hush"));
}

#[test]
fn a_user_is_shown_with_its_roles() {
    let user = api::User {
        id: "0".repeat(32),
        name: "bob".to_owned(),
        admin: false,
        enabled: true,
        created_ms: 0,
        accounts: vec![api::Membership { account: "lab".to_owned(), role: "reader".to_owned() }],
    };
    assert!(view(&user).contains("lab (reader)"));
    assert!(table(&[user]).lines().nth(1).unwrap().starts_with("bob   no     yes"));
}
