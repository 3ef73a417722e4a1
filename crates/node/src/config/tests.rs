//! Tests of the settings.

use std::path::Path;

use super::*;

fn load(file: &str, options: ServeOptions) -> Result<Config, ServeError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.toml");
    std::fs::write(&path, file).unwrap();
    Config::load(&ServeOptions { config: Some(path), ..options })
}

#[test]
fn without_a_file_the_defaults_hold() {
    let config = Config::load(&ServeOptions::default()).unwrap();
    assert_eq!(config.data, Path::new("./archipelago-data"));
    assert_eq!(config.http.to_string(), "127.0.0.1:7480");
    assert_eq!(config.nbd, [NbdAddress::Tcp("127.0.0.1:10809".parse().unwrap())]);
    assert_eq!(config.pool, pool::Config::default());
    assert!(config.tls.is_none() && config.warnings().is_empty());
}

#[test]
fn the_file_beats_the_defaults_and_flags_beat_the_file() {
    let file = "[http]\nlisten = '127.0.0.1:1'\n[nbd]\nlisten = ['[::1]:2', 'unix:/s']\n\
                [log]\nformat = 'json'\nfilter = 'debug'\n[cache]\nchunks = '2M'\nnodes = 4096";
    let config = load(file, ServeOptions::default()).unwrap();
    assert_eq!(config.http.to_string(), "127.0.0.1:1");
    let unix = NbdAddress::Unix("/s".into());
    assert_eq!(config.nbd, [NbdAddress::Tcp("[::1]:2".parse().unwrap()), unix]);
    assert_eq!((config.log_format, config.log_filter.as_str()), (LogFormat::Json, "debug"));
    assert_eq!((config.pool.chunk_cache_bytes, config.pool.node_cache_bytes), (2 << 20, 4096));

    let flags = ServeOptions {
        http: Some("localhost:3".into()),
        nbd: vec!["127.0.0.1:4".into()],
        log_format: Some(LogFormat::Human),
        log_filter: Some("warn".into()),
        data: Some("d".into()),
        ..Default::default()
    };
    let config = load(file, flags).unwrap();
    assert_eq!(config.http.to_string(), "127.0.0.1:3");
    assert_eq!(config.nbd, [NbdAddress::Tcp("127.0.0.1:4".parse().unwrap())]);
    assert_eq!((config.log_format, config.log_filter.as_str()), (LogFormat::Human, "warn"));
    assert_eq!(config.data, Path::new("d"));
}

#[test]
fn a_day_of_rules_is_not_nothing() {
    let error = load("[lifecycle]\nday_ms = 0", ServeOptions::default()).err().unwrap();
    assert!(error.to_string().contains("day_ms"), "{error}");
}

#[test]
fn paths_in_the_file_are_relative_to_it_and_flags_to_the_working_directory() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.toml");
    let file = "data = 'd'\n[nbd]\nlisten = ['unix:s']\n[tls]\ncert = 'c'\nkey = '/k'";
    std::fs::write(&path, file).unwrap();
    let options = ServeOptions { config: Some(path), ..Default::default() };
    let config = Config::load(&options).unwrap();
    assert_eq!(config.data, dir.path().join("d"));
    assert_eq!(config.nbd, [NbdAddress::Unix(dir.path().join("s"))]);
    let tls = config.tls.unwrap();
    assert_eq!((tls.cert, tls.key), (dir.path().join("c"), "/k".into()));
    let config = Config::load(&ServeOptions { nbd: vec!["unix:t".into()], ..options }).unwrap();
    assert_eq!(config.nbd, [NbdAddress::Unix("t".into())]);
}

#[test]
fn an_unknown_key_is_named() {
    for (file, key) in [("dta = 'x'", "dta"), ("[http]\nlissen = 'x'", "lissen"), ("[htp]", "htp")]
    {
        let error = load(file, ServeOptions::default()).unwrap_err().to_string();
        assert!(error.contains(key) && error.contains("a.toml"), "{error}");
    }
}

#[test]
fn a_wrong_value_names_its_line() {
    let error = load("[cache]\nchunks = 'much'", ServeOptions::default()).unwrap_err().to_string();
    assert!(error.contains("line 2") && error.contains("much"), "{error}");
    let error = load("[cache]\nchunks = -1", ServeOptions::default()).unwrap_err().to_string();
    assert!(error.contains("line 2"), "{error}");
}

#[test]
fn a_missing_file_is_named() {
    let options = ServeOptions { config: Some("/nowhere/a.toml".into()), ..Default::default() };
    let error = Config::load(&options).unwrap_err().to_string();
    assert!(error.contains("/nowhere/a.toml"), "{error}");
}

#[test]
fn an_address_that_others_reach_needs_a_word() {
    for (options, what) in [
        (ServeOptions { http: Some("0.0.0.0:0".into()), ..Default::default() }, "HTTP"),
        (ServeOptions { nbd: vec!["[::]:0".into()], ..Default::default() }, "NBD"),
    ] {
        let error = Config::load(&options).unwrap_err().to_string();
        assert!(error.contains(what) && error.contains("--allow-remote"), "{error}");
        let config = Config::load(&ServeOptions { allow_remote: true, ..options }).unwrap();
        assert_eq!(config.warnings().len(), 1);
    }
}

#[test]
fn whoever_is_the_operator_from_the_machine_itself_is_warned_of_where_there_are_others() {
    let remote = load("", ServeOptions::default()).unwrap();
    assert!(remote.warning_of_accounts(1).is_none());
    assert!(remote.warning_of_accounts(2).unwrap().contains("login = \"always\""));
    let always = load("[http]\nlogin = 'always'\n", ServeOptions::default()).unwrap();
    assert!(always.warning_of_accounts(2).is_none());
    let open = "allow_remote = true\n[http]\nlisten = '0.0.0.0:1'\n";
    let warnings = load(open, ServeOptions::default()).unwrap().warnings();
    assert!(warnings[0].contains("login = \"always\""), "{warnings:?}");
}

#[test]
fn client_certificates_silence_the_warning_about_nbd() {
    let file = "allow_remote = true\n[nbd]\nlisten = ['0.0.0.0:1']\n\
                [tls]\ncert = 'c'\nkey = 'k'\nrequired = true\n";
    assert_eq!(load(file, ServeOptions::default()).unwrap().warnings().len(), 1);
    let file = format!("{file}client_ca = 'a'\n");
    assert!(load(&file, ServeOptions::default()).unwrap().warnings().is_empty());
}

#[test]
fn addresses_may_leave_out_the_port_and_may_not_be_names() {
    for (text, expected) in [
        ("127.0.0.1", "127.0.0.1:9"),
        ("::1", "[::1]:9"),
        ("[::1]", "[::1]:9"),
        ("[::1]:5", "[::1]:5"),
        ("localhost", "127.0.0.1:9"),
        ("localhost:0", "127.0.0.1:0"),
    ] {
        assert_eq!(address(text, 9).unwrap().to_string(), expected, "{text}");
    }
    for text in ["", "example.org", "example.org:1", ":1", "localhost:x", "1.2.3.4:65536"] {
        assert!(address(text, 9).is_err(), "{text}");
    }
    assert!(nbd_addresses(&["unix:".into()], Path::new("")).is_err());
}

#[test]
fn a_rate_of_nothing_is_none() {
    let file = "[pool]\nbytes_per_second = '50M'\nrequests_per_second = 0";
    let rates = load(file, ServeOptions::default()).unwrap().pool.pool_rates;
    assert_eq!((rates.bytes.map(NonZeroU64::get), rates.requests), (Some(50 << 20), None));
}

#[test]
fn a_cache_on_a_disk_has_a_size_and_a_folder_relative_to_the_file() {
    let cache = load("[cache]\nbytes = '50G'\npath = '/ssd'", ServeOptions::default()).unwrap();
    let cache = cache.pool.host_cache;
    assert_eq!((cache.bytes, cache.folder), (50 << 30, Some("/ssd".into())));
    assert!(!cache.directories);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.toml");
    std::fs::write(&path, "[cache]\nbytes = '16M'\npath = 'c'\ndirectories = true").unwrap();
    let options = ServeOptions { config: Some(path), ..Default::default() };
    let cache = Config::load(&options).unwrap().pool.host_cache;
    assert_eq!((cache.folder, cache.directories), (Some(dir.path().join("c")), true));
    assert_eq!(load("", ServeOptions::default()).unwrap().pool.host_cache.bytes, 0);
    let error = load("[cache]\nbytes = 1000", ServeOptions::default()).err().unwrap();
    assert!(error.to_string().contains("at least"), "{error}");
}

#[test]
fn the_example_shows_every_key_with_its_default() {
    let example = include_str!("../../example.toml");
    let config = load(example, ServeOptions::default()).unwrap();
    assert_eq!(config.pool, pool::Config::default());
    assert_eq!(config.log_filter, "info");
    let tls = config.tls.unwrap();
    assert!(tls.required && tls.client_ca.is_some());
    let keys = example.lines().filter(|line| !line.starts_with('#') && line.contains(" = "));
    assert_eq!(keys.count(), 33, "a key was added: show it in the example, then count it here");
}
