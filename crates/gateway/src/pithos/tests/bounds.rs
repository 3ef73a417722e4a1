//! Facts about what one request may take.

use archipelago_pool::{Place, Update, UpdateContent};

use super::*;

impl Site {
    pub(super) fn resize(&self, name: &str, size: u64) {
        let update = Update {
            container: self.container().id,
            name: &name.parse().unwrap(),
            place: Place::At(0),
            content: UpdateContent::Nothing,
            size: Some(size),
            create: true,
            owner: None,
            decide: Box::new(|_| Ok(Meta::default())),
        };
        self.server.app.service.object_update(update).unwrap();
    }
}

#[test]
fn hashes_of_an_object_with_more_blocks_than_a_list_has_are_refused() {
    let site = Site::start();
    site.resize("o", (5 << 40) + 1);
    is(&site.ask("GET", "/c/o?hashmap&format=json", "", b""), 400);
    is(&site.ask("HEAD", "/c/o", "", b""), 200);
}

#[test]
fn a_list_of_hashes_is_as_long_as_it_says_in_every_format() {
    let site = Site::start();
    site.resize("o", 3 * BLOCK as u64);
    let hash = sha256(b"");
    let json = site.ask("GET", "/c/o?hashmap&format=json", "", b"");
    is(&json, 200);
    assert!(json.whole);
    let length = json.body.len().to_string();
    assert_eq!(header(&json, "content-length"), Some(&*length));
    let json: Value = serde_json::from_slice(&json.body).unwrap();
    assert_eq!(json["hashes"], json!([hash, hash, hash]));
    let xml = site.ask("GET", "/c/o?hashmap&format=xml", "", b"");
    let length = xml.body.len().to_string();
    assert_eq!(header(&xml, "content-length"), Some(&*length));
    let xml = String::from_utf8(xml.body).unwrap();
    assert_eq!(xml.matches(&format!("<hash>{hash}</hash>")).count(), 3);
    assert!(xml.ends_with("</hash></object>"), "{xml}");
}

#[test]
fn a_file_of_hashes_is_within_the_quota_before_any_is_looked_for() {
    let site = Site::start();
    is(&site.ask("POST", "/c", "X-Container-Policy-Quota: 1000\r\n", b""), 202);
    let bytes = noise(2000, 4);
    is(&site.ask("PUT", "/c/o?hashmap&format=json", "", &list(&bytes)), 413);
}

#[test]
fn a_filter_that_fits_the_last_of_many_finds_it() {
    let site = Site::start();
    for at in 0..9 {
        let head = format!("X-Object-Meta-Number: {at}\r\n");
        is(&site.ask("PUT", &format!("/c/o{at}"), &head, b"x"), 201);
    }
    assert_eq!(site.names("?meta=number%3E=7&limit=1"), ["o7"]);
    assert_eq!(site.names("?meta=number%3E=7&limit=1&marker=o7"), ["o8"]);
    assert_eq!(site.names("?meta=number&limit=0"), Vec::<String>::new());
    assert_eq!(site.names("?meta=number%3E=7&until=99999999999"), ["o7", "o8"]);
}

#[test]
fn names_of_metadata_are_as_many_as_fit_into_a_header() {
    let site = Site::start();
    for at in 0..3 {
        let names = (0..30).map(|n| format!("X-Object-Meta-{}-{at}-{n}: x\r\n", "n".repeat(100)));
        is(&site.ask("PUT", &format!("/c/{at}"), &names.collect::<String>(), b"x"), 201);
    }
    let head = site.ask("HEAD", "/c", "", b"");
    is(&head, 204);
    let names = header(&head, "x-container-object-meta").unwrap();
    assert!(names.len() <= 4096 && names.split(',').count() > 30, "{}", names.len());
}

/// Names that all pages of a listing have, and how many each.
fn pages(site: &Site, query: &str) -> (Vec<String>, Vec<usize>) {
    let (mut names, mut lens) = (Vec::<String>::new(), Vec::new());
    loop {
        let marker = names.last().cloned().unwrap_or_default();
        let page = site.names(&format!("?marker={marker}{query}"));
        if page.is_empty() {
            return (names, lens);
        }
        lens.push(page.len());
        names.extend(page);
    }
}

#[test]
fn a_page_of_a_listing_ends_where_it_holds_enough_and_goes_on_behind_its_last_name() {
    let site = Site::start();
    let wanted: Vec<String> = (0..300).map(|at| format!("o{at:03}")).collect();
    for name in &wanted {
        site.resize(name, 1);
        site.change(name, &|meta| {
            meta.user.insert("known".to_owned(), "x".repeat(60_000));
        });
    }
    for query in ["", "&meta=known", "&until=99999999999", "&meta=known&until=99999999999"] {
        let (names, lens) = pages(&site, query);
        assert_eq!(names, wanted, "{query}");
        assert!(lens.len() == 2 && lens[0] > 250, "{query}: {lens:?}");
    }
    let json = site.ask("GET", "/c?format=json", "", b"");
    is(&json, 200);
    assert!(json.body.len() < 20 << 20, "{}", json.body.len());
}

#[test]
fn a_page_of_a_listing_ends_where_enough_is_said_of_sharing() {
    let site = Site::start();
    let service = &site.server.app.service;
    let accounts = (0..900).map(|at| {
        let name = format!("account{at}").parse().unwrap();
        hex::encode(service.account_create(&name, None).unwrap().uuid)
    });
    let with = accounts.collect::<Vec<_>>().join(",");
    let wanted: Vec<String> = (0..700).map(|at| format!("d/{at:03}")).collect();
    is(&site.ask("PUT", "/c/d", "Content-Type: application/directory\r\n", b""), 201);
    wanted.iter().for_each(|name| site.resize(name, 1));
    is(&site.ask("POST", "/c/d", &format!("X-Object-Sharing: read={with}\r\n"), b""), 202);
    let (names, lens) = pages(&site, "&prefix=d/");
    assert_eq!(names, wanted);
    assert!(lens.len() == 2 && lens[0] > 400, "{lens:?}");
}
